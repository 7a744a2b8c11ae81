//! nginx's answers to failures, recorded, beside those of `OutlierDetection::nginx`: when a server is
//! out, when it is tried again, who is tried next.
//!
//! By hash all of it is nginx's: every attempt of every request. By turn it is not, for nginx lowers the
//! weight of a server at each failure and raises it by one at each pick, where our order is worked out in
//! advance. Driven by nginx's choices the same servers are out and on trial before every attempt, and while
//! that stays the same each server gets what it gets from nginx, to within one attempt. Driven by our own,
//! a server that refuses, or answers again, is found out by another request, so that for some requests
//! others are out than there; in between, shares are as close, and as many requests find nobody:
//!
//! | recording | requests | while others are out | why |
//! | --- | --- | --- | --- |
//! | `nginx-hash-fail`, `nginx-ip_hash-fail`, `nginx-ketama-fail` | 108 | 0 | |
//! | `nginx-rr-fail-max0` | 21 | 0 | nobody ever is |
//! | `nginx-rr-fail-max3` | 70 | 0 | |
//! | `nginx-rr-fail-backup` | 18 | 1 | of two trials the second comes one request sooner |
//! | `nginx-rr-fail-all` | 16 | 2 | the same, and the first has no trial, see below |
//! | `nginx-least_conn-fail` | 39 | 2 | two trials come one request sooner |
//! | `nginx-rr-fail-recover` | 50 | 3 | the trial comes three requests sooner: in nginx a lowered weight waits |
//! | `nginx-rr-fail-rand0` | 38 | 21 | two servers that refuse are asked for the third time here, and so are out, before nginx asks them |
//!
//! Where all were out, nginx tries each that comes back. Here the first is not tried but used, since one
//! attempt at a time would be as good as none; one failure is too many for it all the same.
//!
//! `max_conns` is in `nginx-rr-max_conns-backup`. The same servers are full there and here, and the backup
//! gets a request when all others are; in which order servers come that were full is not nginx's.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod marks;
mod recording;
mod replay;
mod world;

use self::{
    recording::{Recording, recordings},
    replay::Replay,
};

/// The most by which the attempts on a server differ from nginx's, in a span in which nobody changes.
const BOUND: usize = 1;

/// By hash.
fn by_hash() -> Vec<Recording> {
    let names = ["nginx-hash-fail", "nginx-ip_hash-fail", "nginx-ketama-fail"];
    recordings(names.len(), |name| names.contains(&name))
}

/// Round robin, and the one with the fewest requests.
fn by_turn() -> Vec<Recording> {
    recordings(7, |name| {
        name == "nginx-least_conn-fail" || name.starts_with("nginx-rr-fail-")
    })
}

#[tokio::test(start_paused = true)]
async fn by_hash_every_attempt_goes_where_that_of_nginx_goes() {
    for recording in by_hash() {
        let (steps, mut replay) = (recording.steps(), Replay::new(&recording));
        for (number, step) in steps.iter().enumerate() {
            if let Some(request) = replay.step(step).await {
                let route = replay.world.send(request).await;
                assert_eq!(route, request.route, "{}, step {number}", recording.id);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn driven_by_what_nginx_chose_the_same_servers_are_out_and_on_trial() {
    for recording in by_turn() {
        let (steps, mut replay) = (recording.steps(), Replay::new(&recording));
        for (number, step) in steps.iter().enumerate() {
            if let Some(request) = replay.step(step).await {
                let at = format!("{}, step {number}", recording.id);
                replay.follow(request, &at).await;
            }
        }
        for span in replay.spans() {
            let apart = span.apart();
            assert!(apart <= BOUND, "{}: {span:?}", recording.id);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn by_our_own_choices_each_server_gets_what_it_gets_from_nginx() {
    for recording in by_turn() {
        let (steps, mut replay) = (recording.steps(), Replay::new(&recording));
        let mut nobody = [0, 0];
        for step in &steps {
            if let Some(request) = replay.step(step).await {
                let route = replay.send(request).await;
                nobody[0] += usize::from(route.contains(&None));
                nobody[1] += usize::from(request.route.contains(&None));
            }
        }
        assert_eq!(nobody[0], nobody[1], "{}: found nobody", recording.id);
        let mut differ = 0;
        for span in replay.spans() {
            if span.are_states_equal() {
                let apart = span.apart();
                assert!(apart <= BOUND, "{}: {span:?}", recording.id);
            } else {
                differ += span.requests;
            }
        }
        // As the table says.
        let expected = match recording.id.as_str() {
            "nginx-rr-fail-all" | "nginx-least_conn-fail" => 2,
            "nginx-rr-fail-backup" => 1,
            "nginx-rr-fail-recover" => 3,
            "nginx-rr-fail-rand0" => 21,
            _ => 0,
        };
        assert_eq!(differ, expected, "{}", recording.id);
    }
}

#[tokio::test(start_paused = true)]
async fn with_max_conns_the_same_servers_are_full_and_the_backup_is_used_when_all_are() {
    for recording in recordings(1, |name| name == "nginx-rr-max_conns-backup") {
        let (steps, mut replay) = (recording.steps(), Replay::new(&recording));
        for (number, step) in steps.iter().enumerate() {
            let at = format!("{}, step {number}", recording.id);
            replay.hold(step, &at);
        }
    }
}
