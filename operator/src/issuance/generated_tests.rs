use std::collections::BTreeMap;

use keyplane_api::{GenerateKey, KeySource, PreviousKey, Rotation};
use keyplane_core::key::PlainKeyError;
use proptest::prelude::*;

use super::*;

const ID: &str = "key_x";
const START: i64 = 1_000_000;
static GENERATE: KeySource = KeySource::Generate(GenerateKey { secret_name: None, prefix: None, byte_length: None });

/// What the API server has of an object.
#[derive(Clone, Debug, Default)]
struct Object {
    current: Option<CurrentKey>,
    previous: Option<PreviousKey>,
    handled: Option<String>,
    rotation: Option<Rotation>,
    annotation: Option<String>,
    version: u64,
}

impl Object {
    fn status(&self) -> StatusView<'_> {
        let (current, previous) = (self.current.as_ref(), self.previous.as_ref());
        StatusView { current, previous, handled: self.handled.as_deref(), ..StatusView::default() }
    }

    fn wish(&self) -> Wish<'_> {
        Wish { rotation: self.rotation.as_ref(), annotation: self.annotation.as_deref(), expires: None }
    }
}

/// Where an operator dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    Never,
    BeforeSecret,
    BeforeStatus,
    BeforeTidying,
}

/// What happens.
#[derive(Clone, Debug)]
enum Step {
    /// An operator looks, with a copy of the object that is so many changes old.
    Look(Death, usize),
    Wait(i64),
    Ask(u8),
    Delete,
    Edit,
    EditPrevious,
    /// The rotation of the spec: `every` and `overlap` in seconds.
    Spec(Option<(i64, i64)>),
}

/// One object, its Secret, operators that come and go; and the oracle, which knows what holders of keys were told.
struct World {
    now: Timestamp,
    object: Object,
    copies: Vec<Object>,
    secret: Option<Held>,
    version: u64,
    made: u8,
    edits: u32,
    /// When each key that was ever current ends, by its hash; `None`: the current one.
    ends: BTreeMap<String, Option<Timestamp>>,
    /// The Secret has a key of ours that no status has, and nobody touched it since.
    pending: bool,
}

impl World {
    fn new() -> Self {
        let now = Timestamp::from_millisecond(START * 1_000 + 321).unwrap();
        let object = Object::default();
        let copies = vec![object.clone()];
        Self { now, object, copies, secret: None, version: 0, made: 0, edits: 0, ends: BTreeMap::new(), pending: false }
    }

    fn overlap(&self) -> i64 {
        self.object.rotation.as_ref().map_or(86_400_000, |rotation| rotation.overlap.millis())
    }

    fn decide(&self, object: &Object) -> Material {
        let found = self.secret.clone().map_or(Found::Absent, |held| Found::Present(Box::new(held)));
        generated("ApiKey", "s", object.status(), object.wish(), found, self.now)
    }

    /// As `Issuance::settle` does it.
    fn look(&mut self, death: Death, age: usize) {
        let copy = self.copies[self.copies.len().saturating_sub(age + 1)].clone();
        // An object without a current key is always read again.
        let mut object = if copy.current.is_some() { copy } else { self.object.clone() };
        let mut material = self.decide(&object);
        if material.departs_from(&GENERATE, object.status()) {
            object = self.object.clone();
            material = self.decide(&object);
        }
        let mut is_issued = false;
        if let Material::Issue(issue) = &material {
            if death == Death::BeforeSecret {
                return;
            }
            assert!(!self.pending, "a second key for one rotation: {issue:?}");
            let known = self.issue(&object, issue);
            (material, is_issued) = (Material::Known(known), true);
        }
        if death == Death::BeforeStatus {
            return;
        }
        self.write(&material, &object);
        let held = self.secret.clone();
        if let (Material::Known(known), Some(held), false) =
            (&material, held, is_issued || death == Death::BeforeTidying)
            && let Some(untidy) = untidy(&held, known, ID)
        {
            let secret = self.secret.as_mut().unwrap();
            if untidy.previous_key {
                secret.previous = None;
            }
            if untidy.key_id {
                secret.key_id = Some(ID.to_owned());
            }
        }
    }

    fn issue(&mut self, object: &Object, issue: &Issue) -> Known {
        assert_eq!(issue.over.is_some(), self.secret.is_some());
        assert_eq!(
            issue.replaces,
            self.object.current.as_ref().map(|current| current.sha256.clone()),
            "decided on an old copy"
        );
        self.made += 1;
        let plain = PlainKey::generate(None, &[self.made; 24]);
        self.version += 1;
        let request = object.wish().request();
        self.secret = Some(Held {
            ours: true,
            created: Some(rotation::issued_at(self.now)),
            resource_version: Some(self.version.to_string()),
            key: Some(Ok(plain.clone())),
            previous: issue.over.as_ref().and_then(|over| over.previous.clone()).map(Ok),
            key_id: Some(ID.to_owned()),
            replaces: issue.replaces.clone(),
            request: request.clone(),
        });
        self.pending = true;
        let turn =
            rotation::begun(object.wish(), issue.replaces.as_deref(), request.or(object.handled.clone()), self.now);
        Known { turn, ..known(plain.hash(), None, Some(rotation::issued_at(self.now)), None, Some("s")) }
    }

    fn write(&mut self, material: &Material, seen: &Object) {
        let (current, turn) = match material {
            Material::Known(known) => {
                let issued_at = known.issued_at.clone().unwrap();
                (Some(CurrentKey { sha256: known.hash.to_hex(), issued_at }), &known.turn)
            }
            Material::Trouble { keep: true, turn, .. } => (seen.current.clone(), turn),
            other => panic!("{other:?} is written"),
        };
        let before = self.object.clone();
        let is_delicate = turn.is_delicate
            || turn.previous.is_some()
            || seen.previous.is_some()
            || current != seen.current && seen.current.is_some();
        if is_delicate && seen.version != before.version {
            return;
        }
        (self.object.current, self.object.previous, self.object.handled) =
            (current, turn.previous.clone(), turn.handled.clone());
        self.object.version += 1;
        self.copies.push(self.object.clone());
        self.check(&before);
    }

    /// The oracle: what the status may say after what it said.
    fn check(&mut self, before: &Object) {
        let current = self.object.current.clone().expect("never without a key");
        let previous = self.object.previous.clone();
        if let Some(old) = before.current.as_ref().filter(|old| old.sha256 != current.sha256) {
            let over = before.previous.as_ref().is_none_or(|key| key.valid_until.0 < self.now);
            assert!(over, "a third key while two are valid");
            assert!(!self.ends.contains_key(&current.sha256), "a key comes back");
            let end = previous.as_ref().filter(|key| key.sha256 == old.sha256).map(|key| key.valid_until.0);
            let lasts = end.map_or(0, |end| i64::try_from(end.duration_since(self.now).as_millis()).unwrap());
            let overlap = self.overlap();
            assert!(
                (overlap..=overlap + if overlap == 0 { 0 } else { 2_000 }).contains(&lasts),
                "{lasts} ms for {overlap}"
            );
            self.ends.insert(old.sha256.clone(), Some(end.unwrap_or(self.now)));
        } else if let Some(old) = &before.previous {
            let end = self.ends[&old.sha256].unwrap();
            let now_ends = previous.as_ref().map(|key| key.valid_until.0);
            match now_ends {
                Some(now_ends) => assert!(now_ends == end || now_ends < end && self.shortened(before), "the end moved"),
                None => assert!(end < self.now || self.shortened(before), "it ended before its time"),
            }
            self.ends.insert(old.sha256.clone(), Some(now_ends.unwrap_or(end.min(self.now))));
        } else {
            assert_eq!(previous, None, "a key comes back");
        }
        self.ends.insert(current.sha256.clone(), None);
        let is_held = self.secret.as_ref().and_then(|held| held.key.clone()?.ok()).map(|key| key.hash().to_hex());
        if is_held.as_ref() == Some(&current.sha256) {
            self.pending = false;
        }
        assert!(!self.pending, "a key that was handed over is never valid");
    }

    /// The owner said that the overlap in progress is shorter.
    fn shortened(&self, before: &Object) -> bool {
        let (Some(_), Some(current), Some(previous)) = (&self.object.rotation, &before.current, &before.previous)
        else {
            return false;
        };
        let end = current.issued_at.0.as_millisecond() + self.overlap() + if self.overlap() == 0 { 0 } else { 1_000 };
        end < previous.valid_until.0.as_millisecond()
    }

    fn change(&mut self, change: impl FnOnce(&mut Object)) {
        change(&mut self.object);
        self.object.version += 1;
        self.copies.push(self.object.clone());
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Look(death, age) => self.look(*death, *age),
            Step::Wait(millis) => self.now = after(self.now, *millis),
            Step::Ask(value) => self.change(|object| object.annotation = Some(value.to_string())),
            Step::Delete => (self.secret, self.pending) = (None, false),
            Step::Edit => {
                let strange = self.strange();
                self.edit(|held| held.key = Some(strange));
            }
            Step::EditPrevious => {
                let strange = self.strange();
                self.edit(|held| (held.previous, held.key_id) = (Some(strange), None));
            }
            Step::Spec(spec) => self.change(|object| {
                object.rotation = spec.map(|(every, overlap)| rotation(every, overlap));
            }),
        }
    }

    /// A key that nobody issued; never the same.
    fn strange(&mut self) -> Result<PlainKey, PlainKeyError> {
        self.edits += 1;
        PlainKey::from_bytes(format!("an-edited-key-{:04}", self.edits).as_bytes())
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Held)) {
        if let Some(held) = &mut self.secret {
            let before = held.key.clone();
            edit(held);
            self.pending &= before == held.key;
        }
    }

    /// After three undisturbed looks nothing is left to do: an overlap cut short, the next key, a Secret set right.
    fn settle(&mut self) {
        for _ in 0..3 {
            self.look(Death::Never, 0);
        }
        let state = |world: &Self| {
            let Object { current, previous, handled, .. } = world.object.clone();
            (current, previous, handled, format!("{:?}", world.secret), world.made)
        };
        let before = state(self);
        self.look(Death::Never, 0);
        assert_eq!(state(self), before, "it goes on and on");
        let Some(held) = &self.secret else { return };
        if let Some(Ok(previous)) =
            held.previous.as_ref().filter(|_| matches!(self.decide(&self.object), Material::Known(_)))
        {
            let valid = self.object.previous.as_ref().map(|key| key.sha256.clone());
            assert_eq!(Some(previous.hash().to_hex()), valid, "previousKey is the previous key and goes with it");
        }
    }
}

fn rotation(every: i64, overlap: i64) -> Rotation {
    Rotation { every: format!("{every}s").parse().unwrap(), overlap: format!("{overlap}s").parse().unwrap() }
}

fn after(time: Timestamp, millis: i64) -> Timestamp {
    Timestamp::from_millisecond(time.as_millisecond() + millis).unwrap()
}

fn step() -> impl Strategy<Value = Step> {
    let death = prop_oneof![
        5 => Just(Death::Never),
        1 => Just(Death::BeforeSecret),
        2 => Just(Death::BeforeStatus),
        1 => Just(Death::BeforeTidying),
    ];
    prop_oneof![
        8 => (death, 0..4_usize).prop_map(|(death, age)| Step::Look(death, age)),
        4 => (1..20_000_i64).prop_map(Step::Wait),
        1 => (80_000_000..90_000_000_i64).prop_map(Step::Wait),
        2 => (0..4_u8).prop_map(Step::Ask),
        1 => Just(Step::Delete),
        1 => Just(Step::Edit),
        1 => Just(Step::EditPrevious),
        1 => proptest::option::of((2..30_i64, 0..10_i64)).prop_map(|spec| Step::Spec(spec.map(|(every, overlap)| (every + overlap, overlap)))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Whatever happens and wherever operators die: once there is a key, there is always one that is valid, never more than two, each that was
    /// replaced is valid exactly until the end that was said, and none is made twice or lost.
    #[test]
    fn no_holder_of_a_key_is_ever_lied_to(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.settle();
    }
}

fn issued(rotation: Option<Rotation>) -> World {
    let mut world = World::new();
    world.change(|object| object.rotation = rotation);
    world.settle();
    world
}

fn trouble_of(world: &World) -> (&'static str, String) {
    match world.decide(&world.object) {
        Material::Trouble { reason, message, keep: true, .. } => (reason, message),
        other => panic!("not trouble: {other:?}"),
    }
}

#[test]
fn a_rotation_that_reached_the_secret_alone_is_finished_and_not_made_again() {
    let mut world = issued(Some(rotation(60, 30)));
    world.step(&Step::Ask(1));
    world.look(Death::BeforeStatus, 0);
    world.step(&Step::Ask(2));
    world.step(&Step::Wait(3_600_000));
    let Material::Known(known) = world.decide(&world.object) else { panic!("not adopted") };
    assert_eq!(known.turn.handled.as_deref(), Some("1"), "the second request came after it");
    let end = known.turn.previous.unwrap().valid_until.0;
    assert!(end.duration_since(world.now).as_secs() >= 30, "the overlap begins when pods learn of the new key");
    world.look(Death::Never, 0);
    assert_eq!(world.made, 2);
}

#[test]
fn a_lost_key_that_does_not_rotate_stays_and_one_that_does_is_replaced() {
    for (step, reason, cause) in [
        (Step::Delete, reason::SECRET_MISSING, Cause::SecretDeleted),
        (Step::Edit, reason::SECRET_MALFORMED, Cause::SecretEdited),
    ] {
        let mut world = issued(None);
        world.step(&step);
        let (said, message) = trouble_of(&world);
        assert!(said == reason && message.contains("keyplane.dev/rotate"), "{said}: {message}");
        for replaces in [Step::Ask(1), Step::Spec(Some((60, 30)))] {
            let mut world = issued(None);
            world.step(&step);
            world.step(&replaces);
            let Material::Issue(issue) = world.decide(&world.object) else { panic!("not replaced") };
            assert_eq!(issue.cause, cause);
            assert!(issue.over.is_none_or(|over| over.previous.is_none()), "an edited key is nobody's previous key");
            world.settle();
            assert_eq!(world.made, 2);
        }
    }
}

#[test]
fn a_lost_key_waits_for_the_end_of_the_overlap_too() {
    let mut world = issued(Some(rotation(60, 30)));
    world.step(&Step::Ask(1));
    world.settle();
    world.step(&Step::Delete);
    let (said, message) = trouble_of(&world);
    assert!(
        said == reason::SECRET_MISSING && message.contains("a new one is issued at 1970-01-12"),
        "{said}: {message}"
    );
    world.settle();
    assert_eq!(world.made, 2);
    world.step(&Step::Wait(40_000));
    world.settle();
    assert_eq!(world.made, 3);
}

#[test]
fn a_secret_of_somebody_else_is_never_touched() {
    let mut world = issued(Some(rotation(60, 30)));
    world.edit(|held| (held.ours, held.key) = (false, Some(PlainKey::from_bytes(b"somebody-elses-value"))));
    world.step(&Step::Ask(1));
    world.step(&Step::Wait(100_000));
    let (said, message) = trouble_of(&world);
    assert!(said == reason::SECRET_MALFORMED && message.contains("left alone"), "{said}: {message}");
}

#[test]
fn a_request_that_was_there_before_the_key_asks_for_nothing() {
    let mut world = World::new();
    world.step(&Step::Ask(1));
    world.settle();
    assert_eq!((world.made, world.object.handled.as_deref()), (1, Some("1")));
}
