-- 001_initial.sql: the file of a Perdure server. Comments inside the statements are kept by SQLite: `.schema` shows them.
-- Times are nanoseconds since 1970 UTC. Reading this file with the sqlite3 shell is fine at any time; a server that sees
-- its file changed by someone else stops.

CREATE TABLE meta ( -- what is said once: the release that made the file, the last probe for space
    key   TEXT PRIMARY KEY,
    value ANY
) WITHOUT ROWID;

CREATE TABLE run ( -- one row per workflow run, written when it starts and closes: its visibility, and the root of its state
    number              INTEGER PRIMARY KEY, -- given in the order of starts; also the first branch of its history
    namespace           INTEGER NOT NULL,    -- the namespace's number
    workflow_id         TEXT    NOT NULL,    -- the run with the highest number is the current one
    run_id              BLOB    NOT NULL,    -- UUID, 16 bytes: hex(run_id)
    workflow_type       TEXT    NOT NULL,
    task_queue          TEXT    NOT NULL,
    status              INTEGER NOT NULL,    -- 1 running, 2 completed, 3 failed, 4 canceled, 5 terminated, 6 continued as new,
                                             -- 7 timed out, 8 paused
    start_time          INTEGER NOT NULL,
    execution_time      INTEGER NOT NULL,    -- of the first workflow task: start plus delay
    close_time          INTEGER,             -- NULL while it is open
    history_length      INTEGER NOT NULL,    -- events, at close
    history_size        INTEGER NOT NULL,    -- bytes, at close
    state_transitions   INTEGER NOT NULL,    -- at close
    parent_workflow_id  TEXT,                -- NULL: no parent
    parent_run_id       BLOB,
    root_workflow_id    TEXT,                -- NULL: it is its own root
    root_run_id         BLOB,
    memo                BLOB,                -- protobuf, as clients gave it
    search_attributes   BLOB,                -- protobuf, as clients gave it
    snapshot            BLOB,                -- its state as of snapshot_transition; NULL: fold from the first
    snapshot_transition INTEGER NOT NULL
);
CREATE INDEX run_by_workflow_id ON run (namespace, workflow_id);         -- then by number, as all of these
CREATE INDEX run_by_status      ON run (namespace, status, close_time);
CREATE INDEX run_by_type        ON run (namespace, workflow_type, close_time);
CREATE INDEX run_by_close_time  ON run (namespace, close_time) WHERE close_time IS NOT NULL;

CREATE TABLE transition_log ( -- what each transition wrote, of all runs in the order of commits; only ever appended to
    sequence       INTEGER PRIMARY KEY,
    branch         INTEGER NOT NULL,
    number         INTEGER NOT NULL, -- counts up from 1 in its branch
    first_event_id INTEGER NOT NULL,
    event_count    INTEGER NOT NULL,
    checksum       INTEGER NOT NULL, -- CRC-32C over events, then delta
    events         BLOB,             -- (varint size, HistoryEvent) each; NULL: none
    delta          BLOB              -- what the events do not say
);
CREATE TABLE transition_position ( -- where in the log the transitions of a branch are
    branch   INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (branch, number)
) WITHOUT ROWID;

CREATE TABLE ready ( -- tasks that wait for a poller
    sequence           INTEGER PRIMARY KEY,
    namespace          INTEGER NOT NULL,
    queue              TEXT    NOT NULL,
    kind               INTEGER NOT NULL, -- 1 workflow, 2 activity, 3 Nexus, 4 completion callback
    priority           INTEGER NOT NULL, -- lowest first, then by sequence
    normal_queue       TEXT,             -- of a sticky queue
    fairness_key       TEXT,
    version            TEXT,
    run                INTEGER NOT NULL,
    workflow_id        TEXT    NOT NULL,
    scheduled_event_id INTEGER NOT NULL,
    stamp              INTEGER NOT NULL, -- attempt or stamp: tells rows that are out of date
    created_time       INTEGER NOT NULL
);
CREATE INDEX ready_by_queue ON ready (namespace, queue, kind, priority);

CREATE TABLE wakeup ( -- when an entity that sleeps on disk has to be loaded; may be too early, never too late
    entity      INTEGER PRIMARY KEY,
    due         INTEGER NOT NULL,
    namespace   INTEGER NOT NULL,
    workflow_id TEXT    NOT NULL
);
CREATE INDEX wakeup_by_due ON wakeup (due);

CREATE TABLE outbox ( -- messages to other entities that were not yet received
    source_range INTEGER NOT NULL,
    target_range INTEGER NOT NULL,
    number       INTEGER NOT NULL, -- counts up on its link
    source_run   INTEGER NOT NULL,
    body         BLOB,
    PRIMARY KEY (source_range, target_range, number)
) WITHOUT ROWID;

CREATE TABLE link ( -- what each link's receiver has applied, so that a message that comes again is not
    source_range INTEGER NOT NULL,
    target_range INTEGER NOT NULL,
    number       INTEGER NOT NULL, -- the last one
    window       INTEGER NOT NULL, -- bit i: number - 1 - i was received
    PRIMARY KEY (source_range, target_range)
) WITHOUT ROWID;

CREATE TABLE entity ( -- the state of what is no run: namespaces, the cluster, task queues, schedules
    kind  INTEGER NOT NULL,
    key   BLOB    NOT NULL,
    state BLOB,
    PRIMARY KEY (kind, key)
) WITHOUT ROWID;
