//! How often a key may be used in all, and when that is refilled.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The credits that are written into a key. The running balance is never here: it is in the status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.refill) || has(self.remaining)")
        .message("refill needs remaining: say with how many credits the key starts"),
    validation = Rule::new("!has(self.setAt) || has(self.remaining)")
        .message("setAt needs remaining: it tells when that balance was set"),
)]
pub struct Credits {
    /// The opening balance, 0 or more. Writing another value sets the balance to it, once; writing the same value with a
    /// new setAt does so too. Absent: the key may be used without end.
    #[schemars(range(min = 0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remaining: Option<i64>,
    /// Any time, usually that of the change. It tells two equal opening balances apart, so that a balance can be set again
    /// to the value it was set to before. Absent: only another value of remaining sets the balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_at: Option<Time>,
    /// When and to what the balance is refilled. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refill: Option<Refill>,
}

/// A regular refill of the balance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.day) || self.interval == 'Monthly'")
        .message("day is only for the interval Monthly")
        .field_path(".day"),
)]
pub struct Refill {
    /// How often: Daily (at 00:00 UTC) or Monthly (at 00:00 UTC of a day of the month).
    pub interval: RefillInterval,
    /// The balance after the refill, whatever was left. At least 1.
    #[schemars(range(min = 1))]
    pub amount: i64,
    /// The day of the month of a Monthly refill, 1 to 31; in a shorter month its last day. Default 1. Not for Daily.
    #[schemars(range(min = 1, max = 31))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<i64>,
}

/// How often a balance is refilled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RefillInterval {
    /// At 00:00 UTC.
    Daily,
    /// At 00:00 UTC of the day of the month.
    Monthly,
}

/// The balance that verify pods last reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreditsStatus {
    /// Credits left when it was observed.
    pub remaining: i64,
    /// When it was observed. Reports are minutes apart.
    pub observed_at: Time,
}
