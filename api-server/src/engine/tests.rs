use keyplane_core::permission::Grants;
use keyplane_core::record::{PermissionList, RootRecord};

use super::*;
use crate::counters::Local;
use crate::index::{Change, KeyEntry, NamespaceId, Namespaces};

const NOW: Millis = Millis(1_000);

/// Two workspaces with a caller each; team-a has the key `k` in the keyspace `api_1`.
struct World {
    engine: Engine,
    index: Arc<Index>,
    a: NamespaceId,
}

fn root(namespace: &str, permissions: &[&str], change: impl FnOnce(&mut RootRecord)) -> Arc<RootRecord> {
    let grants = Grants::new(namespace, permissions.iter().copied());
    let mut record =
        RootRecord { id: "rk_1".into(), namespace: namespace.into(), enabled: true, expires: None, grants };
    change(&mut record);
    Arc::new(record)
}

impl World {
    fn new() -> Self {
        let index = Arc::new(Index::default());
        let mut namespaces = Namespaces::default();
        let (a, shared) = namespaces.number("team-a");
        let (b, _) = namespaces.number("team-b");
        let mut record = KeyRecord::bare("key_1", shared, "k", "api_1");
        let permissions = PermissionList { permissions: ["read".into()].into(), own: 1, roles: Box::default() };
        record.permission_set = Arc::new(permissions.into());
        record.hash = Some(KeyHash::of("k"));
        let record = Arc::new(record);
        let world = Self { engine: Engine::new(index.clone(), Arc::new(Local::default())), index, a };
        world.index.apply(vec![Change::PutKey(KeyEntry { namespace: a, hash: KeyHash::of("k"), record })]);
        world.caller("all-a", a, root("team-a", &["api.*.verify_key"], |_| ()));
        world.caller("all-b", b, root("team-b", &["api.*.verify_key"], |_| ()));
        world
    }

    fn caller(&self, plain: &str, namespace: NamespaceId, record: Arc<RootRecord>) {
        let entry = CallerEntry { namespace, valid_until: None, record };
        self.index.apply(vec![Change::PutCaller(KeyHash::of(plain), entry)]);
    }

    fn ask(&self, caller: &str, key: &str, permissions: Option<&str>, keyspaces: &[&str]) -> Result<Code, VerifyError> {
        let caller = self.engine.caller(caller, NOW).unwrap();
        let permissions = permissions.map(Permissions::Text);
        let request = Request { permissions, keyspaces, ..Request::new(KeyHash::of(key)) };
        let mut found = Found::default();
        let verdict = self.engine.verify(&caller, &request, &mut found, NOW)?;
        assert_eq!(verdict.key.is_none(), verdict.code == Code::NotFound);
        Ok(verdict.code)
    }
}

#[test]
fn a_key_is_found_in_the_callers_workspace_only() {
    let world = World::new();
    assert_eq!(world.ask("all-a", "k", None, &[]), Ok(Code::Valid));
    assert_eq!(world.ask("all-b", "k", None, &[]), Ok(Code::NotFound));
    assert_eq!(world.ask("all-a", "other", None, &[]), Ok(Code::NotFound));
}

#[test]
fn a_caller_that_may_not_verify_the_key_does_not_learn_that_it_exists() {
    let world = World::new();
    world.caller("other-api", world.a, root("team-a", &["api.api_2.verify_key"], |_| ()));
    world.caller("this-api", world.a, root("team-a", &["api.api_1.verify_key"], |_| ()));
    world.caller("nothing", world.a, root("team-a", &[], |_| ()));
    assert_eq!(world.ask("other-api", "k", None, &[]), Ok(Code::NotFound));
    assert_eq!(world.ask("nothing", "k", None, &[]), Ok(Code::NotFound));
    assert_eq!(world.ask("this-api", "k", None, &[]), Ok(Code::Valid));
    assert_eq!(world.ask("other-api", "k", Some("("), &[]), Ok(Code::NotFound), "not even by a bad query");
}

#[test]
fn wanted_keyspaces_are_ids() {
    let world = World::new();
    assert_eq!(world.ask("all-a", "k", None, &["api_2", "api_1"]), Ok(Code::Valid));
    assert_eq!(world.ask("all-a", "k", None, &["api_2"]), Ok(Code::NotFound));
}

#[test]
fn a_bad_query_is_the_callers_mistake_for_a_known_key_only() {
    let world = World::new();
    assert_eq!(world.ask("all-a", "k", Some("read"), &[]), Ok(Code::Valid));
    assert_eq!(world.ask("all-a", "k", Some("write"), &[]), Ok(Code::InsufficientPermissions));
    assert!(world.ask("all-a", "k", Some("read AND"), &[]).is_err());
    assert_eq!(world.ask("all-a", "unknown", Some("read AND"), &[]), Ok(Code::NotFound));
}

#[test]
fn callers_are_turned_away_with_the_reason() {
    let world = World::new();
    world.caller("disabled", world.a, root("team-a", &["api.*.verify_key"], |r| r.enabled = false));
    world.caller("expired", world.a, root("team-a", &["api.*.verify_key"], |r| r.expires = Some(NOW.plus(-1))));
    let refused = |token: &str| world.engine.caller(token, NOW).map(drop);
    assert_eq!(refused("disabled"), Err(CallerError::Disabled));
    assert_eq!(refused("expired"), Err(CallerError::Expired));
    assert_eq!(refused("nobody"), Err(CallerError::Unknown));
    assert_eq!(refused("k"), Err(CallerError::Unknown), "an ordinary key is no root key");
}
