-- Each fairness key of a queue is read by itself, so that a million tasks of one do not hide the others.

ALTER TABLE ready ADD COLUMN fairness_weight INTEGER; -- in thousandths; NULL: 1
DROP INDEX ready_by_queue;
CREATE INDEX ready_by_queue ON ready (namespace, queue, kind, priority, fairness_key);
