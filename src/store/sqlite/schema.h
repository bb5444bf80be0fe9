/* schema.h: the numbered migrations of schema/sqlite, as they are in the binary. */
#ifndef STORE_SQLITE_SCHEMA_H
#define STORE_SQLITE_SCHEMA_H

struct sqlite_migration {
    const char *name, *sql;
};
extern const struct sqlite_migration sqlite_migrations[]; /* number n is at n - 1 */
extern const int                     sqlite_migration_count;
#endif
