//! What may be sent, shared and moved.

use tightrope_rollout::{
    BlueGreen, Gate, Report, Rollback, RollbackError, Rollout, RolloutError, Share, ShareError,
    Step, StepReport, Verify,
};

const fn all<T: Send + Sync + Unpin + 'static>() {}
const fn send<T: Send + Unpin + 'static>() {}

const _: () = {
    all::<BlueGreen>();
    all::<Gate>();
    all::<Report>();
    all::<Rollback>();
    all::<RollbackError>();
    send::<Rollout>();
    all::<RolloutError>();
    all::<Share>();
    all::<ShareError>();
    all::<Step>();
    all::<StepReport>();
    all::<Verify>();
};

#[test]
fn a_running_rollout_can_move_between_threads() {
    fn is_send<T: Send>(_: impl FnOnce(Rollout) -> T) {}
    is_send(Rollout::run);
}
