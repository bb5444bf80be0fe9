-- Search attributes as rows, so that lists filter, order and group by them; counts that are kept, so that none has to go
-- through all runs; and kinds of runs, so that lists of workflows do not meet what is hidden.

ALTER TABLE run ADD COLUMN kind INTEGER NOT NULL DEFAULT 0; -- 0 workflow, 1 workflow in a division of its own, 2 schedule, 3 batch
ALTER TABLE run ADD COLUMN attributes INTEGER;              -- a digest of its rows in attribute; NULL: it has none

CREATE TABLE attribute_name ( -- what the names of attributes are in attribute; never removed
    number    INTEGER PRIMARY KEY,
    namespace INTEGER NOT NULL,
    kind      INTEGER NOT NULL, -- of the runs
    name      TEXT    NOT NULL,
    type      INTEGER NOT NULL  -- 1 text, 2 keyword, 3 int, 4 double, 5 bool, 6 time, 7 list of keywords
);
CREATE UNIQUE INDEX attribute_name_by_name ON attribute_name (namespace, kind, name, type);

CREATE TABLE attribute ( -- search attributes that are set: one row each, of lists and of texts one for each keyword or word
    run   INTEGER NOT NULL,
    name  INTEGER NOT NULL,
    value BLOB    NOT NULL, -- text, or an integer: bool 0 or 1, times in ns, doubles as the bits of which are in their order
    PRIMARY KEY (run, name, value)
) WITHOUT ROWID;
CREATE INDEX attribute_by_value ON attribute (name, value, run);

CREATE TABLE run_count ( -- how many runs there are, kept by the triggers below
    namespace     INTEGER NOT NULL,
    kind          INTEGER NOT NULL,
    status        INTEGER NOT NULL,
    workflow_type TEXT    NOT NULL,
    number        INTEGER NOT NULL,
    PRIMARY KEY (namespace, kind, status, workflow_type)
) WITHOUT ROWID;
INSERT INTO run_count SELECT namespace, kind, status, workflow_type, count(*) FROM run GROUP BY 1, 2, 3, 4;

CREATE TRIGGER run_inserted AFTER INSERT ON run BEGIN
    INSERT INTO run_count VALUES (new.namespace, new.kind, new.status, new.workflow_type, 1)
        ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER run_changed AFTER UPDATE OF status, kind ON run
WHEN old.status <> new.status OR old.kind <> new.kind BEGIN
    UPDATE run_count SET number = number - 1 WHERE namespace = old.namespace AND kind = old.kind AND
        status = old.status AND workflow_type = old.workflow_type;
    INSERT INTO run_count VALUES (new.namespace, new.kind, new.status, new.workflow_type, 1)
        ON CONFLICT DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER run_deleted AFTER DELETE ON run BEGIN
    UPDATE run_count SET number = number - 1 WHERE namespace = old.namespace AND kind = old.kind AND
        status = old.status AND workflow_type = old.workflow_type;
    DELETE FROM run_count WHERE namespace = old.namespace AND kind = old.kind AND
        status = old.status AND workflow_type = old.workflow_type AND number = 0;
END;
CREATE TRIGGER run_with_attributes_deleted AFTER DELETE ON run WHEN old.attributes IS NOT NULL BEGIN
    DELETE FROM attribute WHERE run = old.number;
END;

DROP INDEX run_by_status;
DROP INDEX run_by_type;
DROP INDEX run_by_close_time;
CREATE INDEX run_by_status     ON run (namespace, status, close_time)        WHERE kind = 0;
CREATE INDEX run_by_type       ON run (namespace, workflow_type, close_time) WHERE kind = 0;
CREATE INDEX run_by_close_time ON run (namespace, close_time)                WHERE kind = 0 AND close_time IS NOT NULL;
CREATE INDEX run_by_start_time ON run (namespace, start_time)                WHERE kind = 0;
CREATE INDEX run_by_parent     ON run (namespace, parent_workflow_id)        WHERE parent_workflow_id IS NOT NULL;
CREATE INDEX run_by_root       ON run (namespace, root_workflow_id)          WHERE root_workflow_id IS NOT NULL;
CREATE INDEX run_by_kind       ON run (namespace, kind, close_time)          WHERE kind <> 0;
