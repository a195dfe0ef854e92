//! What a scraper gets.

use std::sync::Arc;

use axum::response::Response;
use http::Request;
use http_body_util::BodyExt;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::exemplar::CounterWithExemplar;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::{Exposition, Metrics, chosen};
use crate::exposition::prometheus;

/// What Prometheus 3 sends.
const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
    application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

fn registry() -> Registry {
    let mut registry = Registry::with_prefix("app");
    let requests = Family::<Vec<(String, String)>, Counter>::default();
    let label = ("path".to_owned(), "a\"b\\c # {d}\n".to_owned());
    requests.get_or_create(&vec![label]).inc_by(3);
    registry.register("requests", "Requests # served", requests);
    let gauge = Gauge::<i64>::default();
    gauge.set(-2);
    registry.register_with_unit("age", "Age", Unit::Seconds, gauge);
    let histogram = Histogram::new([0.5, 1.0]);
    histogram.observe(0.7);
    registry.register("took", "Time taken", histogram);
    registry.register("build", "Build", Info::new([("version", "1")]));
    let traced = CounterWithExemplar::<Vec<(String, String)>>::default();
    traced.inc_by(5, Some(vec![("trace".to_owned(), "t1".to_owned())]), None);
    registry.register("traced", "With C:\\new", traced);
    registry
}

fn metrics() -> Metrics {
    Metrics { registry: Some(Arc::new(registry())), started: 1_768_217_860 }
}

async fn scraped(accept: &str) -> (Response<()>, String) {
    let request = Request::builder().uri("/metrics").header("accept", accept).body(()).unwrap().into_parts().0;
    let (parts, body) = metrics().answer(&request).into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn plain_text_is_the_old_format() {
    let wanted = "\
# HELP app_requests_total Requests # served.
# TYPE app_requests_total counter
app_requests_total{path=\"a\\\"b\\\\c # {d}\\n\"} 3
# HELP app_age_seconds Age.
# TYPE app_age_seconds gauge
app_age_seconds -2
# HELP app_took Time taken.
# TYPE app_took histogram
app_took_sum 0.7
app_took_count 1
app_took_bucket{le=\"0.5\"} 0
app_took_bucket{le=\"1.0\"} 1
app_took_bucket{le=\"+Inf\"} 1
# HELP app_build_info Build.
# TYPE app_build_info gauge
app_build_info{version=\"1\"} 1
# HELP app_traced_total With C:\\\\new.
# TYPE app_traced_total counter
app_traced_total 5
# HELP process_start_time_seconds Start time of the process since unix epoch in seconds.
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1768217860
";
    let (response, body) = scraped("text/plain").await;
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8; escaping=underscores");
    assert_eq!(response.headers()["process-start-time-unix"], "1768217860");
    assert!(body.starts_with(wanted), "{body}");
    assert!(!body.contains("# EOF") && !body.contains("# UNIT"), "{body}");
    assert!(body.contains("# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total "), "{body}");
}

#[tokio::test]
async fn whoever_asks_for_openmetrics_gets_it_whole() {
    let (response, body) = scraped(PROMETHEUS).await;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8";
    assert_eq!(response.headers()["content-type"], content_type);
    for line in [
        "# TYPE app_requests counter\n",
        "# UNIT app_age_seconds seconds\n",
        "# TYPE app_build info\n",
        "app_traced_total 5 # {trace=\"t1\"} 5",
    ] {
        assert!(body.contains(line), "{line} in {body}");
    }
    assert!(body.ends_with("\n# EOF\n") && body.matches("# EOF").count() == 1, "{body}");
}

#[test]
fn what_is_not_understood_gets_text() {
    for accept in
        ["", "*/*", "text/*", "text/html", "application/json", "text/plain, application/openmetrics-text;q=0.5"]
    {
        assert_eq!(chosen(accept), (Exposition::Text, "underscores"), "{accept}");
    }
    let protobuf_first =
        format!("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily,{PROMETHEUS}");
    assert_eq!(chosen(&protobuf_first), (Exposition::OpenMetrics, "allow-utf-8"));
    assert_eq!(chosen("text/plain;escaping=dots"), (Exposition::Text, "dots"));
    assert_eq!(chosen("text/plain;escaping=nonsense"), (Exposition::Text, "underscores"));
}

#[test]
fn types_the_old_format_does_not_know_are_renamed() {
    let new = "# HELP a A.\n# TYPE a unknown\na 1\n# TYPE b stateset\nb{b=\"x\"} 1\n# EOF\n";
    let old = "# HELP a A.\n# TYPE a untyped\na 1\n# TYPE b gauge\nb{b=\"x\"} 1\n";
    assert_eq!(prometheus(new), old);
}
