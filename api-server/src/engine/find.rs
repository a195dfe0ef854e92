//! Finding the key of a request: by the whole key's hash, and where a migration says so by its long token.

use std::sync::Arc;

use keyplane_core::hash::KeyHash;
use keyplane_core::prefixed::NotPrefixed;
use keyplane_core::record::KeyRecord;
use keyplane_core::time::Millis;

use super::asker::Asker;
use super::{Engine, Request};
use crate::migration::Learnt;

/// A key with the end of the hash under which it was found.
pub(super) type Seen = (Arc<KeyRecord>, Option<Millis>);

/// What is under a hash for the one who asks.
enum Look {
    /// Nothing.
    Absent,
    /// A key that is not there for this one.
    Hidden,
    Seen(Seen),
}

impl Engine {
    /// The key, if it is there for the one who asks. Cost: one search for a key that is found under its hash; for one that is not, a load
    /// more unless keys were migrated here.
    pub(super) fn find(
        &self,
        asker: Asker<'_>,
        request: &Request<'_>,
        hash: KeyHash,
        now: Millis,
    ) -> Result<Option<Seen>, NotPrefixed> {
        let namespace = asker.namespace();
        match self.look(asker, request, &hash) {
            Look::Seen(seen) => return Ok(Some(seen)),
            Look::Hidden => return Ok(None),
            Look::Absent => {}
        }
        if let Some(lookup) = self.migrations.lookup_of(namespace, hash) {
            match self.look(asker, request, &lookup) {
                Look::Seen(seen) => return Ok(Some(seen).filter(|(record, _)| is_whole(record, lookup, hash))),
                Look::Hidden => return Ok(None),
                Look::Absent => {}
            }
        }
        let Some(prefixed) = &request.prefixed else { return Ok(None) };
        let prefixed = prefixed.as_ref().map_err(|error| *error)?;
        let Look::Seen((record, end)) = self.look(asker, request, &prefixed.lookup) else { return Ok(None) };
        if !is_whole(&record, prefixed.lookup, hash) {
            return Ok(None);
        }
        let learnt = || Learnt {
            namespace: record.namespace.clone(),
            object: record.object_name().into(),
            lookup: prefixed.lookup,
            whole: hash,
            start: prefixed.start.clone(),
            at: now,
        };
        let is_the_one = self.migrations.learn(namespace, learnt, prefixed.lookup, hash);
        Ok(is_the_one.then_some((record, end)))
    }

    fn look(&self, asker: Asker<'_>, request: &Request<'_>, hash: &KeyHash) -> Look {
        let look = self.index.key(asker.namespace(), hash, |found| {
            if asker.sees(request, found.record) {
                Look::Seen((found.record.clone(), found.valid_until))
            } else {
                Look::Hidden
            }
        });
        look.unwrap_or(Look::Absent)
    }

    /// Forgets a part of what was learnt of keys that are gone; all of it has its turn in some rounds.
    pub fn sweep_migrations(&self, round: usize) {
        self.migrations.sweep(round, |namespace, lookup| self.index.key(namespace, lookup, |_| ()).is_some());
    }
}

/// Whether this can be the whole key of a record that was found under its lookup hash: not when the record names another.
fn is_whole(record: &KeyRecord, lookup: KeyHash, whole: KeyHash) -> bool {
    record.hash.is_none_or(|known| known == lookup || known == whole)
}

#[cfg(test)]
mod tests {
    use keyplane_core::prefixed::{self, Prefixed};
    use keyplane_core::record::ServedHash;
    use keyplane_core::verify::Code;
    use tokio::sync::mpsc;

    use super::*;
    use crate::counters::Local;
    use crate::engine::{Found, VerifyError};
    use crate::index::{Change, Index, KeyEntry, NamespaceId, Namespaces};
    use crate::migration::Migrations;

    const KEY: &str = "p_short_long";

    fn lookup() -> KeyHash {
        prefixed::lookup("seam", KeyHash::of("long"))
    }

    struct World {
        engine: Engine,
        index: Arc<Index>,
        namespace: NamespaceId,
        offers: mpsc::Receiver<Learnt>,
    }

    impl World {
        fn new() -> Self {
            let index = Arc::new(Index::default());
            let (sender, offers) = mpsc::channel(8);
            let engine = Engine::new(index.clone(), Arc::new(Local::default()));
            let engine = engine.with_migrations(Arc::new(Migrations::kept_by(sender)));
            let (namespace, _) = Namespaces::default().number("n");
            let world = Self { engine, index, namespace, offers };
            world.serve(None, |_| ());
            world
        }

        /// Puts the imported key into the index, with what its status says of the whole key.
        fn serve(&self, whole: Option<KeyHash>, change: impl FnOnce(&mut KeyRecord)) {
            let mut record = KeyRecord::bare("key_1", "n".into(), "imported", "api_1");
            record.hash = Some(whole.unwrap_or(lookup()));
            record.former = whole.map(|_| Box::new(ServedHash { hash: lookup(), valid_until: None }));
            change(&mut record);
            let record = Arc::new(record);
            let put = |hash| Change::PutKey(KeyEntry { namespace: self.namespace, hash, record: record.clone() });
            self.index.apply([Some(lookup()), whole].into_iter().flatten().map(put).collect());
        }

        fn ask(&self, plain: &str, migration: Option<&str>) -> Result<Code, VerifyError> {
            let prefixed = migration.map(|migration| Prefixed::read(plain, migration));
            let request = Request { prefixed, ..Request::new(KeyHash::of(plain)) };
            let mut found = Found::default();
            Ok(self.engine.verify_for_anyone("n", &request, &mut found, Millis(7))?.code)
        }
    }

    #[test]
    fn what_is_learnt_follows_the_key_to_its_end() {
        let mut world = World::new();
        assert_eq!(world.ask(KEY, None), Ok(Code::NotFound));
        assert_eq!(world.ask(KEY, Some("seam")), Ok(Code::Valid));
        assert_eq!(world.ask(KEY, None), Ok(Code::Valid));
        let learnt = world.offers.try_recv().unwrap();
        assert_eq!(
            (&*learnt.namespace, &*learnt.object, &*learnt.start, learnt.at),
            ("n", "imported", "p_shor", Millis(7))
        );
        assert_eq!((learnt.lookup, learnt.whole), (lookup(), KeyHash::of(KEY)));
        world.serve(None, |record| record.enabled = false);
        assert_eq!(world.ask(KEY, None), Ok(Code::Disabled), "at once");
        world.index.apply(vec![Change::RemoveKey(world.namespace, lookup())]);
        assert_eq!(world.ask(KEY, None), Ok(Code::NotFound), "at once");
        (0..1024).for_each(|round| world.engine.sweep_migrations(round));
        assert_eq!(world.engine.migrations.held(), 0);
        assert!(world.offers.try_recv().is_err(), "offered once");
    }

    #[test]
    fn a_whole_key_that_the_status_names_is_the_only_one() {
        let world = World::new();
        assert_eq!(world.ask(KEY, Some("seam")), Ok(Code::Valid));
        world.serve(Some(KeyHash::of(KEY)), |_| ());
        assert_eq!(world.ask(KEY, None), Ok(Code::Valid));
        let restarted = World::new();
        restarted.serve(Some(KeyHash::of(KEY)), |_| ());
        assert_eq!(restarted.ask("q_short_long", Some("seam")), Ok(Code::NotFound));
        assert_eq!(restarted.ask(KEY, None), Ok(Code::Valid), "without its migration, after a restart");
    }

    #[test]
    fn a_key_that_cannot_be_taken_apart_is_an_error_only_where_it_is_not_found() {
        let world = World::new();
        assert_eq!(world.ask("p_long", Some("seam")), Err(VerifyError::NotPrefixed(NotPrefixed)));
        world.serve(Some(KeyHash::of("p_long")), |_| ());
        assert_eq!(world.ask("p_long", Some("seam")), Ok(Code::Valid));
    }

    #[test]
    fn a_text_that_cannot_be_a_key_is_not_looked_for() {
        let world = World::new();
        let request = Request { prefixed: Some(Prefixed::read(KEY, "seam")), ..Request::presented(None) };
        let mut found = Found::default();
        let verdict = world.engine.verify_for_anyone("n", &request, &mut found, Millis(7)).unwrap();
        assert_eq!(verdict.code, Code::NotFound);
    }
}
