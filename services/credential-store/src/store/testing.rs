//! What tests look at or break beneath the use cases.

use keywright_storage::{Columns, Db};

/// How many rows a table has.
pub async fn count(db: &Db, table: &str) -> i64 {
    let text = format!("SELECT COUNT(*) AS rows_there FROM {table}");
    let row = sqlx::query(sqlx::AssertSqlSafe(text)).fetch_one(db.read()).await.unwrap();
    row.int("rows_there").unwrap()
}

/// Makes the usage of whatever is bound to the server unreadable, or readable again.
pub async fn set_lifecycle(db: &Db, server: &str, value: &str) {
    let mut tx = db.begin_internal("a test breaks a row").await.unwrap();
    sqlx::query("UPDATE server SET lifecycle = $2 WHERE id = $1")
        .bind(server)
        .bind(value)
        .execute(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

/// As the tenant's owner would.
pub async fn set_allow_resolve(db: &Db, credential: &str, allowed: bool) {
    let mut tx = db.begin_internal("a test allows a credential").await.unwrap();
    sqlx::query("UPDATE credential SET allow_resolve = $2 WHERE id = $1")
        .bind(credential)
        .bind(i64::from(allowed))
        .execute(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

/// A principal with no token, as an internal service of that name has.
pub async fn name_principal(db: &Db, id: &str, name: &str) {
    let mut tx = db.begin_internal("a test names a principal").await.unwrap();
    sqlx::query("INSERT INTO principal (id, name, kind, created_at) VALUES ($1, $2, 'service', 0)")
        .bind(id)
        .bind(name)
        .execute(tx.conn())
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

/// The database as it was before key-encryption keys had names.
pub async fn forget_key_names(db: &Db) {
    let mut tx = db.begin_internal("a test turns the time back").await.unwrap();
    for text in [
        "UPDATE key_check SET id = 'current', state = NULL, created_at = NULL",
        "UPDATE data_key SET kek_id = NULL",
    ] {
        sqlx::query(text).execute(tx.conn()).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// Every row that custody keeps, as text.
pub async fn custody_rows(db: &Db) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for text in [
        "SELECT 'material ' || version_id AS name, sealed AS bytes FROM material ORDER BY version_id",
        "SELECT 'data key ' || version_id AS name, wrapped AS bytes FROM data_key ORDER BY version_id",
        "SELECT 'check ' || id || ' ' || COALESCE(state, '') AS name, sealed AS bytes FROM key_check ORDER BY id",
    ] {
        for row in sqlx::query(text).fetch_all(db.read()).await.unwrap() {
            all.push((row.text("name").unwrap(), row.blob("bytes").unwrap()));
        }
    }
    all
}

/// How many servers of switches have been moved.
pub async fn switched(db: &Db) -> i64 {
    let text = "SELECT COUNT(*) AS n FROM switch_step WHERE outcome = 'switched'";
    sqlx::query(text).fetch_one(db.read()).await.unwrap().int("n").unwrap()
}

/// What must never be true of these credentials: a binding to or a reference on one that is gone, a gap in the
/// versions, a version in use that is not there or has no material, material of one that is out of use.
pub async fn broken_promises(db: &Db, credentials: &[&str]) -> Vec<String> {
    const NEVER: &[(&str, &str)] = &[
        (
            "a server is bound to a credential that is gone",
            "SELECT COUNT(*) AS n FROM server WHERE bound_credential_id = $1
                AND NOT EXISTS (SELECT 1 FROM credential c WHERE c.id = $1)",
        ),
        (
            "a reference is held on a credential that is gone",
            "SELECT COUNT(*) AS n FROM held_reference WHERE subject = $1
                AND NOT EXISTS (SELECT 1 FROM credential c WHERE c.id = $1)",
        ),
        (
            "a version is left of a credential that is gone",
            "SELECT COUNT(*) AS n FROM credential_version WHERE credential_id = $1
                AND NOT EXISTS (SELECT 1 FROM credential c WHERE c.id = $1)",
        ),
        (
            "the versions have a gap",
            "SELECT CAST(COALESCE(MAX(number), 0) AS BIGINT) - COUNT(*) AS n FROM credential_version
              WHERE credential_id = $1",
        ),
        (
            "the version in use is not the last one",
            "SELECT COUNT(*) AS n FROM credential c WHERE c.id = $1 AND NOT EXISTS (
                SELECT 1 FROM credential_version v WHERE v.id = c.current_version_id AND v.credential_id = c.id
                   AND v.number = (SELECT MAX(w.number) FROM credential_version w WHERE w.credential_id = c.id))",
        ),
        (
            "the version in use has no material",
            "SELECT COUNT(*) AS n FROM credential c WHERE c.id = $1
                AND NOT EXISTS (SELECT 1 FROM material m WHERE m.version_id = c.current_version_id)",
        ),
    ];
    let mut broken = Vec::new();
    for credential in credentials {
        for (what, text) in NEVER {
            let row = sqlx::query(*text).bind(*credential).fetch_one(db.read()).await.unwrap();
            if row.int::<i64>("n").unwrap() != 0 {
                broken.push(format!("{what}: {credential}"));
            }
        }
    }
    broken
}

/// The folder in which PostgreSQL keeps this database's files, all of them written out.
pub async fn postgres_files(db: &Db) -> std::path::PathBuf {
    sqlx::query("CHECKPOINT").execute(db.read()).await.unwrap();
    let row = sqlx::query(
        "SELECT current_setting('data_directory') || '/base/' || CAST(oid AS TEXT) AS folder
           FROM pg_database WHERE datname = current_database()",
    )
    .fetch_one(db.read())
    .await
    .unwrap();
    row.text::<String>("folder").unwrap().into()
}
