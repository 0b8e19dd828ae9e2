//! Everything that runs in recorded steps is killed, failed and made to repeat itself at every transaction that it
//! records: a first key, a rotation, its way back, the end of its grace, a regeneration, hosts that come and go, the end
//! of an access. Afterwards exactly one key is in use and logs in, and nothing lies about; meanwhile nobody is locked out.
//!
//! CI takes moments that a seed draws; it is printed, and `KEYWRIGHT_FAULTS_SEED` draws the same again.

mod case;
mod moments;
mod scene;

use keywright_e2e::drawn::Drawn;
use keywright_e2e::{Sshd, Stores};
use moments::Operation;
use scene::{Harm, Scene};

/// So many of each draw.
const DRAWN: usize = 6;

#[tokio::test]
async fn what_is_killed_at_drawn_moments_ends_with_one_working_key() {
    let mut drawn = Drawn::new();
    let mut scene = Scene::new(Stores::Embedded, Sshd::OpenSsh).await;
    scene.hurt(Harm::Kill, drawn.of(&moments::all(), DRAWN)).await;
}

#[tokio::test]
async fn what_fails_at_drawn_moments_leads_back_or_is_done_again() {
    let mut drawn = Drawn::new();
    let mut scene = Scene::new(Stores::Embedded, Sshd::OpenSsh).await;
    scene.hurt(Harm::Again, drawn.of(&moments::all(), DRAWN)).await;
    scene.hurt(Harm::FolderShut, drawn.of(&moments::before_edits(), DRAWN)).await;
}

#[tokio::test]
async fn what_is_killed_over_and_over_ends_with_one_working_key() {
    kill_at_any_time(Stores::Embedded, Sshd::OpenSsh, 1).await;
}

/// For `tests/run --full` alone: every moment, on every pair of stores and SSH servers.
mod whole_matrix {
    macro_rules! on {
        ($pair:ident, $stores:ident, $sshd:ident) => {
            mod $pair {
                use super::super::{Harm, Scene, Sshd, Stores, kill_at_any_time, moments};

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
                    scene.hurt(Harm::FolderShut, moments::before_edits()).await;
                    scene.hurt(Harm::NeverRecorded, moments::never_recorded()).await;
                }

                #[tokio::test]
                async fn what_is_killed_over_and_over_ends_with_one_working_key() {
                    kill_at_any_time(Stores::$stores, Sshd::$sshd, 12).await;
                }
            }
        };
    }

    on!(embedded_openssh, Embedded, OpenSsh);
    on!(embedded_dropbear, Embedded, Dropbear);
    on!(external_openssh, External, OpenSsh);
    on!(external_dropbear, External, Dropbear);
}

/// Of each operation one, all at once, each time killed three times wherever they are.
async fn kill_at_any_time(stores: Stores, sshd: Sshd, rounds: usize) {
    let mut drawn = Drawn::new();
    let mut scene = Scene::new(stores, sshd).await;
    for _ in 0..rounds {
        let mut operations = moments::all();
        operations.retain(|moment| moment.operation != Operation::TurnBack);
        operations.dedup_by_key(|moment| moment.operation);
        let lives = [(); 3].map(|()| drawn.below(3_000));
        println!("killed after {lives:?} ms");
        scene.hurt_at(&lives, &operations).await;
    }
}
