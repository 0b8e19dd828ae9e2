//! Everything that runs in recorded steps is killed, failed and made to repeat itself at every transaction that it
//! records, and killed within its scripts on the hosts: a first key, a rotation on one host and on two, one that leaves a
//! host behind, one to a key that its holder makes, its way back, the end of its grace, a revocation, a regeneration,
//! hosts that come and go, the end of an access. Afterwards exactly one key is in use and logs in, and nothing lies about;
//! meanwhile nobody is locked out.
//!
//! CI deals the moments out to the four pairs of stores and SSH servers by a seed, and each pair takes some of its own of
//! every operation. The seed is printed, and `KEYWRIGHT_FAULTS_SEED` draws the same again.

mod case;
mod judged;
mod moments;
mod scene;
mod scripts;
mod watch;

use keywright_e2e::drawn::Drawn;
use keywright_e2e::{Sshd, Stores};
use moments::{Moment, Operation};
use scene::{Harm, Scene};

/// On one of the four pairs.
mod drawn {
    macro_rules! on {
        ($name:ident, $number:literal, $stores:ident, $sshd:ident) => {
            #[tokio::test]
            async fn $name() {
                super::hurt_at_drawn_moments($number, super::Stores::$stores, super::Sshd::$sshd).await;
            }
        };
    }

    on!(what_is_hurt_ends_with_one_working_key_on_embedded_openssh, 0, Embedded, OpenSsh);
    on!(what_is_hurt_ends_with_one_working_key_on_embedded_dropbear, 1, Embedded, Dropbear);
    on!(what_is_hurt_ends_with_one_working_key_on_external_openssh, 2, External, OpenSsh);
    on!(what_is_hurt_ends_with_one_working_key_on_external_dropbear, 3, External, Dropbear);
}

/// What the seed gives the pair of this number.
struct Share {
    killed: Vec<Moment>,
    again: Vec<Moment>,
    shut: Vec<Moment>,
    down: Vec<Moment>,
    scripts: Vec<scripts::Within>,
    at_any_time: Vec<Moment>,
    /// How long it lives before each of its ends.
    lives: [u64; 3],
}

impl Share {
    fn of(number: usize, sshd: Sshd) -> Self {
        let mut drawn = Drawn::new();
        // First all that is dealt, which is the same for every pair.
        let mut mine = |moments: Vec<Moment>| drawn.dealt(moments, 4).swap_remove(number);
        let each = Operation::ALL.map(|operation| mine(moments::of_one(operation)));
        let again = mine(moments::all());
        let (mut shut, down) = (mine(moments::before_edits()), mine(moments::before_hosts()));
        shut.retain(|moment| moments::needs_its_edit(moment, sshd));
        let scripts = drawn.dealt(scripts::all(), 4).swap_remove(number);
        Self {
            killed: each.iter().flat_map(|moments| drawn.of(moments, 1)).collect(),
            again: drawn.of(&again, 5),
            shut: drawn.of(&shut, 2),
            down: drawn.of(&down, 2),
            scripts: drawn.of(&scripts, 2),
            at_any_time: drawn.of(&at_any_time(), 6),
            lives: [(); 3].map(|()| drawn.below(3_000)),
        }
    }
}

async fn hurt_at_drawn_moments(number: usize, stores: Stores, sshd: Sshd) {
    let share = Share::of(number, sshd);
    let mut scene = Scene::new(stores, sshd).await;
    scene.hurt_within(&share.scripts).await;
    scene.hurt(Harm::Kill, share.killed).await;
    scene.hurt(Harm::Again, share.again).await;
    scene.hurt(Harm::FolderShut, share.shut).await;
    scene.hurt(Harm::HostDown, share.down).await;
    println!("killed after {:?} ms", share.lives);
    scene.hurt_at(&share.lives, &share.at_any_time).await;
}

/// For `tests/run --full` alone: every moment, on every pair of stores and SSH servers.
mod whole_matrix {
    macro_rules! on {
        ($pair:ident, $stores:ident, $sshd:ident) => {
            mod $pair {
                use super::super::{Drawn, Harm, Scene, Sshd, Stores, at_any_time, moments, scripts};

                async fn scene() -> Scene {
                    Scene::new(Stores::$stores, Sshd::$sshd).await
                }

                #[tokio::test]
                async fn what_is_killed_at_any_moment_ends_with_one_working_key() {
                    scene().await.hurt(Harm::Kill, moments::all()).await;
                }

                #[tokio::test]
                async fn what_is_done_twice_at_any_moment_ends_with_one_working_key() {
                    scene().await.hurt(Harm::Again, moments::all()).await;
                }

                #[tokio::test]
                async fn any_step_that_fails_leads_back_or_is_done_again() {
                    let mut scene = scene().await;
                    scene.hurt(Harm::HostDown, moments::before_hosts()).await;
                    let mut edits = moments::before_edits();
                    edits.retain(|moment| moments::needs_its_edit(moment, Sshd::$sshd));
                    scene.hurt(Harm::FolderShut, edits).await;
                    scene.hurt(Harm::NeverRecorded, moments::never_recorded()).await;
                }

                #[tokio::test]
                async fn what_is_killed_over_and_over_ends_with_one_working_key() {
                    let (mut drawn, mut scene) = (Drawn::new(), scene().await);
                    for _ in 0..12 {
                        let lives = [(); 3].map(|()| drawn.below(3_000));
                        println!("killed after {lives:?} ms");
                        scene.hurt_at(&lives, &at_any_time()).await;
                    }
                }

                #[tokio::test]
                async fn what_is_killed_within_any_script_ends_with_one_working_key() {
                    scene().await.hurt_within(&scripts::all()).await;
                }
            }
        };
    }

    on!(embedded_openssh, Embedded, OpenSsh);
    on!(embedded_dropbear, Embedded, Dropbear);
    on!(external_openssh, External, OpenSsh);
    on!(external_dropbear, External, Dropbear);
}

/// Of each operation one, to be killed wherever they are.
fn at_any_time() -> Vec<Moment> {
    let mut operations = moments::all();
    operations.retain(|it| it.operation != Operation::TurnBack && !it.operation.misses_a_host());
    operations.dedup_by_key(|moment| moment.operation);
    operations
}
