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
