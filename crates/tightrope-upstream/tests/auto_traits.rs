//! What may go to another thread, be shared between threads and be moved while pinned.

use tightrope_upstream::*;

const fn everywhere<T: Send + Sync + Unpin + 'static>() {}

const fn error<T: std::error::Error + Send + Sync + 'static>() {}

#[test]
fn every_public_type_may_go_anywhere() {
    everywhere::<Address>();
    everywhere::<Admin>();
    everywhere::<Attempt>();
    everywhere::<Patience>();
    everywhere::<Availability>();
    everywhere::<Change>();
    everywhere::<DrainReport>();
    everywhere::<Ejection>();
    everywhere::<Endpoint>();
    everywhere::<EndpointId>();
    everywhere::<EndpointSpec>();
    everywhere::<Event>();
    everywhere::<EventKind>();
    everywhere::<Events>();
    everywhere::<Failure>();
    everywhere::<Fault>();
    everywhere::<Group>();
    everywhere::<Health>();
    everywhere::<Metadata>();
    everywhere::<Outcome>();
    everywhere::<Pick>();
    everywhere::<Picked<()>>();
    everywhere::<Reason>();
    everywhere::<Record>();
    everywhere::<Snapshot>();
    everywhere::<Status>();
    everywhere::<Totals>();
    everywhere::<Unsent<()>>();
    everywhere::<Update>();
    everywhere::<Upstream>();
    everywhere::<Verdict<Health>>();
    everywhere::<Weight>();
}

#[test]
fn every_error_is_one_that_any_caller_can_box() {
    error::<AddressError>();
    error::<ChangeError>();
    error::<Missed>();
    error::<NameError>();
    error::<PickError>();
    error::<WeightError>();
}

#[test]
fn the_waits_may_be_spawned() {
    const fn send<F: Future + Send>(_future: &F) {}
    let upstream = Upstream::new("shop");
    let update = upstream.apply(Change::new()).unwrap();
    send(&update.applied());
    send(&update.drained(std::time::Duration::ZERO));
    send(&upstream.events().next());
}

#[test]
fn the_traits_that_users_implement_are_object_safe() {
    struct Nothing;
    impl Follower for Nothing {
        fn follow(&self, _snapshot: &std::sync::Arc<Snapshot>) {}
    }
    impl Source for Nothing {
        fn next(&mut self) -> NextList<'_> {
            Box::pin(async { None })
        }
    }
    impl Failed for Nothing {
        fn failure(&self) -> Failure {
            Failure::Local
        }
    }
    impl<T, E> Classify<T, E> for Nothing {
        fn classify(&self, _result: Result<&T, &E>) -> Outcome {
            Outcome::Success
        }
    }
    impl TakeUnsent<()> for Nothing {
        fn take_unsent(&mut self) -> Option<Unsent<()>> {
            None
        }
    }
    let _: [Box<dyn Source>; 1] = [Box::new(Nothing)];
    let _: [Box<dyn Follower>; 1] = [Box::new(Nothing)];
    let _: [Box<dyn Failed>; 1] = [Box::new(Nothing)];
    let _: [Box<dyn Classify<(), ()>>; 1] = [Box::new(Nothing)];
    let _: [Box<dyn TakeUnsent<()>>; 1] = [Box::new(Nothing)];
}
