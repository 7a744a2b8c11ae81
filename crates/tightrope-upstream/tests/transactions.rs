//! A change is made whole or not at all, in the order in which it was written.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use crate::members::{id, member};
use tightrope_upstream::{
    Admin, Availability, Change, ChangeError, Ejection, EndpointId, Group, Health, Metadata,
    Update, Upstream, Weight,
};

fn upstream_of(names: &[&str]) -> Upstream {
    let upstream = Upstream::new("shop");
    upstream
        .apply(Change::new().replace(names.iter().map(|name| member(name))))
        .unwrap();
    upstream
}

fn names(upstream: &Upstream) -> Vec<String> {
    let snapshot = upstream.snapshot();
    let members = snapshot.members().iter();
    members.map(|member| member.id().to_string()).collect()
}

fn availability(upstream: &Upstream, name: &str) -> Availability {
    upstream.snapshot().get(&id(name)).unwrap().1
}

fn leaving(update: &Update) -> Vec<EndpointId> {
    update.leaving().iter().map(|e| e.id().clone()).collect()
}

fn group(name: &str) -> Group {
    Group::new(name).unwrap()
}

#[test]
fn a_new_upstream_is_empty_and_at_generation_0() {
    let upstream = Upstream::new("shop");
    let snapshot = upstream.snapshot();
    assert_eq!(upstream.name(), "shop");
    assert_eq!(snapshot.upstream(), "shop");
    assert_eq!(snapshot.generation(), 0);
    assert!(snapshot.members().is_empty());
    assert!(snapshot.available().is_empty());
    assert_eq!(snapshot.active_group(), None);
}

#[test]
fn add_appends_and_remove_takes_out() {
    let upstream = upstream_of(&["a", "b"]);
    upstream.apply(Change::new().add(member("c"))).unwrap();
    assert_eq!(names(&upstream), ["a", "b", "c"]);
    let update = upstream.apply(Change::new().remove(id("b"))).unwrap();
    assert_eq!(names(&upstream), ["a", "c"]);
    assert_eq!(leaving(&update), [id("b")]);
}

#[test]
fn replace_reorders_keeps_removes_and_adds() {
    let upstream = upstream_of(&["a", "b", "c"]);
    let before = upstream.snapshot();
    let update = upstream
        .apply(Change::new().replace([member("d"), member("c"), member("a")]))
        .unwrap();
    assert_eq!(names(&upstream), ["d", "c", "a"]);
    assert_eq!(leaving(&update), [id("b")]);
    let after = upstream.snapshot();
    assert_eq!(
        after.members()[1].record().serial(),
        before.members()[2].record().serial()
    );
    assert_eq!(names(&upstream_of(&[])), [""; 0]);
}

#[test]
fn a_list_in_another_order_is_another_layout() {
    let upstream = upstream_of(&["a", "b"]);
    let update = upstream
        .apply(Change::new().replace([member("b"), member("a")]))
        .unwrap();
    assert_eq!(update.generation(), 2);
    assert_eq!(upstream.snapshot().layout_generation(), 2);
    assert!(update.leaving().is_empty());
}

#[test]
fn the_steps_of_a_change_see_what_the_ones_before_left() {
    let upstream = upstream_of(&["a"]);
    upstream
        .apply(
            Change::new()
                .remove(id("a"))
                .add(member("b"))
                .set_weight(id("b"), Weight::from(7))
                .set_group(id("b"), Some(group("blue")))
                .set_metadata(id("b"), Metadata::from_iter([("zone", "1")]))
                .activate(group("blue")),
        )
        .unwrap();
    let snapshot = upstream.snapshot();
    assert_eq!(snapshot.generation(), 2);
    let [b] = snapshot.members() else {
        panic!("{snapshot:?}")
    };
    assert_eq!(b.weight().get(), 7);
    assert_eq!(b.group(), Some(&group("blue")));
    assert_eq!(b.metadata().get("zone"), Some("1"));
    assert_eq!(snapshot.active_group(), Some(&group("blue")));

    let late = Change::new()
        .set_weight(id("c"), Weight::ZERO)
        .add(member("c"));
    let unknown = ChangeError::UnknownEndpoint { id: id("c") };
    assert_eq!(upstream.apply(late).unwrap_err(), unknown);
}

#[test]
fn a_refused_change_leaves_everything_as_it_was() {
    let upstream = upstream_of(&["a", "b"]);
    let before = upstream.snapshot();
    let all = || {
        Change::new()
            .add(member("c"))
            .set_weight(id("a"), Weight::MAX)
            .drain(id("a"), "test")
            .set_health(id("b"), Health::Unhealthy, "test")
            .eject(id("b"), "test")
            .remove(id("b"))
    };
    let refused = [
        (
            all().add(member("c")),
            ChangeError::Duplicate { id: id("c") },
        ),
        (
            all().replace([member("x"), member("y"), member("x")]),
            ChangeError::Duplicate { id: id("x") },
        ),
        (
            all().remove(id("b")),
            ChangeError::UnknownEndpoint { id: id("b") },
        ),
        (
            all().undrain(id("b"), "test"),
            ChangeError::UnknownEndpoint { id: id("b") },
        ),
        (
            all().activate(group("blue")),
            ChangeError::UnknownGroup {
                group: group("blue"),
            },
        ),
        (
            all().if_generation(7),
            ChangeError::Stale {
                expected: 7,
                current: 1,
            },
        ),
    ];
    for (change, error) in refused {
        assert_eq!(upstream.apply(change).unwrap_err(), error);
        let after = upstream.snapshot();
        assert!(std::sync::Arc::ptr_eq(&before, &after));
        for member in after.members() {
            let status = member.record().status();
            assert_eq!(status.admin.value(), Admin::Active);
            assert_eq!(status.health.value(), Health::Healthy);
            assert_eq!(status.ejection.value(), Ejection::In);
        }
    }
}

#[test]
fn a_change_that_changes_nothing_publishes_nothing() {
    let upstream = upstream_of(&["a", "b"]);
    let before = upstream.snapshot();
    let nothing = [
        Change::new(),
        Change::new().replace([member("a"), member("b")]),
        Change::new().set_weight(id("a"), Weight::ONE),
        Change::new().set_group(id("a"), None),
        Change::new().activate_all(),
        Change::new().undrain(id("a"), "test"),
        Change::new().set_health(id("a"), Health::Healthy, "test"),
        Change::new().restore(id("a"), "test"),
        Change::new().add(member("c")).remove(id("c")),
        Change::new().remove(id("b")).add(member("b")),
        Change::new()
            .set_weight(id("a"), Weight::MAX)
            .set_weight(id("a"), Weight::ONE),
        Change::new().if_generation(1),
    ];
    for change in nothing {
        let update = upstream.apply(change).unwrap();
        assert_eq!(update.generation(), 1);
        assert!(update.is_applied());
        assert!(update.leaving().is_empty());
        assert!(std::sync::Arc::ptr_eq(&before, &upstream.snapshot()));
    }
}

#[test]
fn a_verdict_beside_an_equal_list_keeps_the_layout() {
    let upstream = upstream_of(&["a", "b"]);
    let update = upstream
        .apply(
            Change::new()
                .replace([member("a"), member("b")])
                .set_health(id("b"), Health::Unhealthy, "probe"),
        )
        .unwrap();
    assert_eq!(update.generation(), 2);
    let snapshot = upstream.snapshot();
    assert_eq!(snapshot.layout_generation(), 1);
    assert_eq!(snapshot.available(), [0]);
}

#[test]
fn a_change_for_another_generation_is_stale() {
    let upstream = upstream_of(&["a"]);
    let seen = upstream.snapshot().generation();
    let mine = || Change::new().if_generation(seen).add(member("b"));
    upstream
        .apply(Change::new().drain(id("a"), "first"))
        .unwrap();
    let stale = ChangeError::Stale {
        expected: 1,
        current: 2,
    };
    assert_eq!(upstream.apply(mine()).unwrap_err(), stale);
    upstream.apply(mine().if_generation(2)).unwrap();
    assert_eq!(names(&upstream), ["a", "b"]);
}

#[test]
fn only_the_active_group_gets_traffic() {
    let (blue, green) = (group("blue"), group("green"));
    let upstream = Upstream::new("shop");
    upstream
        .apply(
            Change::new()
                .activate(blue.clone())
                .add(member("a").with_group(blue.clone()))
                .add(member("b").with_group(green.clone()))
                .add(member("c")),
        )
        .unwrap();
    let snapshot = upstream.snapshot();
    assert_eq!(snapshot.available(), [0]);
    assert_eq!(snapshot.candidates(), [0]);
    assert_eq!(availability(&upstream, "b"), Availability::Standby);
    assert_eq!(availability(&upstream, "c"), Availability::Standby);

    let update = upstream.apply(Change::new().activate(green)).unwrap();
    assert_eq!(leaving(&update), [id("a")]);
    assert_eq!(upstream.snapshot().available(), [1]);
    assert_eq!(upstream.snapshot().layout_generation(), 2);

    let update = upstream.apply(Change::new().activate_all()).unwrap();
    assert!(update.leaving().is_empty());
    assert_eq!(upstream.snapshot().available(), [0, 1, 2]);

    upstream
        .apply(Change::new().activate(blue.clone()))
        .unwrap();
    let update = upstream.apply(Change::new().remove(id("a"))).unwrap();
    assert_eq!(leaving(&update), [id("a")]);
    // An active group may run empty: its members may come back.
    assert_eq!(upstream.snapshot().active_group(), Some(&blue));
    assert!(upstream.snapshot().available().is_empty());
}

#[test]
fn a_group_that_has_no_member_in_the_end_is_not_activated() {
    let (blue, green) = (group("blue"), group("green"));
    let upstream = upstream_of(&["a"]);
    let refused = ChangeError::UnknownGroup {
        group: blue.clone(),
    };
    let changes = [
        Change::new().activate(blue.clone()),
        Change::new()
            .set_group(id("a"), Some(blue.clone()))
            .activate(blue.clone())
            .set_group(id("a"), Some(green.clone())),
        Change::new()
            .add(member("b").with_group(blue.clone()))
            .activate(blue.clone())
            .remove(id("b")),
    ];
    for change in changes {
        assert_eq!(upstream.apply(change).unwrap_err(), refused);
    }
}

#[test]
fn weight_0_gets_nothing_and_neither_do_all_weights_0() {
    let upstream = upstream_of(&["a", "b"]);
    let update = upstream
        .apply(Change::new().set_weight(id("a"), Weight::ZERO))
        .unwrap();
    assert_eq!(leaving(&update), [id("a")]);
    assert_eq!(availability(&upstream, "a"), Availability::Unweighted);
    upstream
        .apply(Change::new().set_weight(id("b"), Weight::ZERO))
        .unwrap();
    let snapshot = upstream.snapshot();
    assert!(snapshot.available().is_empty());
    assert_eq!(snapshot.candidates(), [0, 1]);
    assert!(snapshot.ignoring_health().available().is_empty());
    upstream
        .apply(Change::new().set_weight(id("a"), Weight::ONE))
        .unwrap();
    assert_eq!(upstream.snapshot().available(), [0]);
}

#[test]
fn the_first_reason_against_a_member_is_its_availability() {
    let upstream = upstream_of(&["a"]);
    let steps: [(Change, Availability); 8] = [
        (Change::new().eject(id("a"), "x"), Availability::Ejected),
        (
            Change::new().set_health(id("a"), Health::Unhealthy, "x"),
            Availability::Unhealthy,
        ),
        (
            Change::new().set_weight(id("a"), Weight::ZERO),
            Availability::Unweighted,
        ),
        (Change::new().drain(id("a"), "x"), Availability::Draining),
        (
            Change::new()
                .undrain(id("a"), "x")
                .set_weight(id("a"), Weight::ONE),
            Availability::Unhealthy,
        ),
        (
            Change::new().set_health(id("a"), Health::Healthy, "x"),
            Availability::Ejected,
        ),
        (Change::new().restore(id("a"), "x"), Availability::Available),
        (
            Change::new()
                .add(member("b").with_group(group("blue")))
                .drain(id("a"), "x")
                .activate(group("blue")),
            Availability::Standby,
        ),
    ];
    for (change, expected) in steps {
        upstream.apply(change).unwrap();
        assert_eq!(availability(&upstream, "a"), expected);
    }
}

#[test]
fn sick_members_stay_in_service_for_those_who_ignore_health() {
    let upstream = upstream_of(&["a", "b", "c"]);
    let update = upstream
        .apply(
            Change::new()
                .set_health(id("a"), Health::Unhealthy, "probe")
                .eject(id("b"), "5 in a row")
                .drain(id("c"), "by hand"),
        )
        .unwrap();
    assert_eq!(leaving(&update), [id("c")]);
    let snapshot = upstream.snapshot();
    assert!(snapshot.available().is_empty());
    assert_eq!(snapshot.ignoring_health().available(), [0, 1]);
    assert_eq!(snapshot.ignoring_health().generation(), 2);
    assert!(snapshot.members()[0].pick().is_ok());
    assert!(snapshot.members()[2].pick().is_err());
}

#[test]
fn new_members_wait_for_a_probe_where_the_upstream_says_so() {
    let upstream = Upstream::with_initial_health("shop", Health::Unhealthy);
    upstream.apply(Change::new().add(member("a"))).unwrap();
    assert_eq!(availability(&upstream, "a"), Availability::Unhealthy);
    upstream
        .apply(Change::new().set_health(id("a"), Health::Healthy, "200"))
        .unwrap();
    assert_eq!(availability(&upstream, "a"), Availability::Available);
}

#[test]
fn a_verdict_holds_before_and_after_a_replace_in_the_same_change() {
    let upstream = upstream_of(&["a", "b"]);
    upstream
        .apply(
            Change::new()
                .drain(id("a"), "before")
                .add(member("c"))
                .set_health(id("c"), Health::Unhealthy, "before")
                .replace([member("c"), member("b"), member("a")])
                .set_health(id("b"), Health::Unhealthy, "between")
                .replace([member("a"), member("b"), member("c")])
                .eject(id("b"), "after"),
        )
        .unwrap();
    assert_eq!(availability(&upstream, "a"), Availability::Draining);
    assert_eq!(availability(&upstream, "b"), Availability::Unhealthy);
    assert_eq!(availability(&upstream, "c"), Availability::Unhealthy);
    let snapshot = upstream.snapshot();
    let b = snapshot.members()[1].record().status();
    assert_eq!(b.ejection.value(), Ejection::Ejected);
    assert_eq!(b.ejection.reason().as_str(), "after");
}

#[test]
fn a_member_removed_and_added_in_one_change_keeps_its_state_and_is_active() {
    let upstream = upstream_of(&["a", "b"]);
    let before = upstream.snapshot();
    let update = upstream
        .apply(
            Change::new()
                .drain(id("a"), "test")
                .set_health(id("a"), Health::Unhealthy, "probe")
                .remove(id("a"))
                .add(member("a").with_weight(Weight::from(3))),
        )
        .unwrap();
    assert!(update.leaving().is_empty());
    assert_eq!(names(&upstream), ["b", "a"]);
    assert_eq!(availability(&upstream, "a"), Availability::Unhealthy);
    let after = upstream.snapshot();
    let (old, new) = (&before.members()[0], &after.members()[1]);
    assert_eq!(old.record().serial(), new.record().serial());
    assert_eq!(new.weight().get(), 3);
}

#[test]
fn what_a_new_member_got_before_it_was_removed_again_is_forgotten() {
    let upstream = upstream_of(&[]);
    upstream
        .apply(
            Change::new()
                .add(member("a"))
                .set_health(id("a"), Health::Unhealthy, "probe")
                .remove(id("a"))
                .add(member("a")),
        )
        .unwrap();
    assert_eq!(availability(&upstream, "a"), Availability::Available);
}

#[test]
fn a_replace_keeps_draining_members_draining_and_readmits_those_that_had_left() {
    let upstream = upstream_of(&["a", "b"]);
    let pick = upstream.snapshot().members()[0].pick();
    upstream
        .apply(Change::new().drain(id("a"), "x").drain(id("b"), "x"))
        .unwrap();
    upstream.apply(Change::new().remove(id("a"))).unwrap();
    upstream
        .apply(Change::new().replace([member("a"), member("b")]))
        .unwrap();
    assert_eq!(availability(&upstream, "a"), Availability::Available);
    assert_eq!(availability(&upstream, "b"), Availability::Draining);
    drop(pick);
}

#[test]
fn members_leave_in_order() {
    let many: Vec<String> = (0..50).map(|n| format!("m{n}")).collect();
    let upstream = upstream_of(&many.iter().map(String::as_str).collect::<Vec<_>>());
    let drain = many
        .iter()
        .rev()
        .fold(Change::new(), |change, name| change.drain(id(name), "all"));
    let update = upstream.apply(drain).unwrap();
    let in_order: Vec<_> = many.iter().map(|name| id(name)).collect();
    assert_eq!(leaving(&update), in_order);
}

#[test]
fn two_members_may_share_an_address_under_different_ids() {
    let upstream = Upstream::new("shop");
    let b = member("a").with_id(id("b"));
    upstream
        .apply(Change::new().replace([member("a"), b]))
        .unwrap();
    assert_eq!(upstream.snapshot().available(), [0, 1]);
}
