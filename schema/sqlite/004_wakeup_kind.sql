-- Wake-ups of what is no workflow.

ALTER TABLE wakeup ADD COLUMN kind INTEGER NOT NULL DEFAULT 1; -- of the entity: 1 workflow, 8 schedule
