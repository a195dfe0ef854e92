//! The example is started, asked as a client would, and stopped.

use reqwest::Client;
use tokio::sync::oneshot;

use super::Greeter;

const FLAGZ: &str = "application/json;g=config.k8s.io;v=v1beta1;as=Flagz";
const STATUSZ: &str = "application/json;g=config.k8s.io;v=v1beta1;as=Statusz";
const PASSWORD: &str = "hunter2-very-secret";

async fn read(client: &Client, url: &str, accept: &str) -> (u16, String) {
    let answer = client.get(url).header("accept", accept).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn the_example_explains_itself_from_start_to_stop() {
    let arguments = ["greeter", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--password", PASSWORD];
    let greeter = Greeter::bind(arguments.map(str::to_owned)).await.unwrap();
    let (work, operations) = greeter.addresses().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let served = greeter.serve(async {
            let _ = stopped.await;
        });
        served.await.map_err(|error| error.to_string())
    });

    let client = Client::builder().no_proxy().build().unwrap();
    let page = |path: &str| format!("http://{operations}{path}");
    assert_eq!(read(&client, &format!("http://{work}/hello/you"), "*/*").await, (200, "Hello, you!\n".to_owned()));
    assert_eq!(
        read(&client, &page("/readyz?verbose"), "*/*").await.1,
        "[+]ping ok\n[+]warm ok\n[+]shutdown ok\nreadyz check passed\n"
    );
    assert!(read(&client, &page("/metrics"), "*/*").await.1.contains("\ngreeter_greetings_total 1\n"));
    assert!(read(&client, &page("/"), "*/*").await.1.contains("\n/flagz "));
    assert_eq!(read(&client, &page("/nothing"), "*/*").await, (404, "404 page not found\n".to_owned()));
    assert_eq!(read(&client, &page("/statusz"), "application/json").await.0, 406);

    let (_, statusz) = read(&client, &page("/statusz"), STATUSZ).await;
    assert!(statusz.contains(r#""metadata":{"name":"greeter"}"#), "{statusz}");
    let (_, flagz) = read(&client, &page("/flagz"), FLAGZ).await;
    assert!(
        flagz.contains(r#""flags":{"listen":"127.0.0.1:0","ops-listen":"127.0.0.1:0","password":"CLASSIFIED"}"#),
        "{flagz}"
    );
    assert!(!read(&client, &page("/flagz"), "text/plain").await.1.contains(PASSWORD));

    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(client.get(page("/livez")).send().await.is_err(), "the listeners are closed");
}
