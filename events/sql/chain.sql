-- The chain: every event gets the next position and a digest over itself and the digest before it, at commit.
-- Its text, the lock and the digest before the first are put in by the migration: see events.chain.canonical.

-- Queued at commit, behind everything else that waits for the commit: a foreign key that is checked then waits for
-- row locks, and nobody may do so while holding the lock of the chain. So the first trigger only queues a second.
CREATE FUNCTION events_await_chain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events_pending (event_id) VALUES (NEW.id);
    RETURN NULL;
END $$;

CREATE FUNCTION events_chain() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last record;
    told text;
BEGIN
    -- Until this transaction ends. Statements begin with a new snapshot: the next one sees what it has committed.
    PERFORM pg_advisory_xact_lock({lock});
    SELECT position, digest INTO last FROM events_link ORDER BY position DESC LIMIT 1;
    SELECT {text} INTO STRICT told FROM events_event e WHERE e.id = NEW.event_id;
    INSERT INTO events_link (position, event_id, digest) VALUES (
        coalesce(last.position, 0) + 1,
        NEW.event_id,
        encode(sha256(convert_to(coalesce(last.digest, '{nothing}') || E'\n' || told, 'UTF8')), 'hex')
    );
    DELETE FROM events_pending WHERE event_id = NEW.event_id;
    RETURN NULL;
END $$;

-- Rows that live as long as their transaction; there is never one to be seen, and none to be lost in a crash.
CREATE UNLOGGED TABLE events_pending (event_id bigint PRIMARY KEY);

CREATE CONSTRAINT TRIGGER events_await_chain AFTER INSERT ON events_event
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION events_await_chain();
CREATE CONSTRAINT TRIGGER events_chain AFTER INSERT ON events_pending
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION events_chain();

-- Nobody edits, deletes or empties them: not by privilege, the owner's neither, and not by trigger.
CREATE OR REPLACE FUNCTION events_refuse_edit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' AND current_setting('autovibe.flush', true) = 'on' THEN
        RETURN NULL;  -- test databases are emptied between tests
    END IF;
    RAISE EXCEPTION 'Events are append-only: % of % is refused.', TG_OP, TG_TABLE_NAME;
END $$;

CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events_event
    FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_edit();
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON events_link
    FOR EACH ROW EXECUTE FUNCTION events_refuse_edit();
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events_link
    FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_edit();
CREATE TRIGGER events_append_only BEFORE UPDATE OR DELETE ON events_head
    FOR EACH ROW EXECUTE FUNCTION events_refuse_edit();
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events_head
    FOR EACH STATEMENT EXECUTE FUNCTION events_refuse_edit();

REVOKE UPDATE, DELETE, TRUNCATE ON events_event, events_link, events_head FROM CURRENT_USER, PUBLIC;

-- What there was before: in the order in which it was written.
DO $$
DECLARE
    event record;
    at_position bigint := 0;
    at_digest text := '{nothing}';
BEGIN
    FOR event IN SELECT e.id, {text} AS told FROM events_event e ORDER BY e.id LOOP
        at_position := at_position + 1;
        at_digest := encode(sha256(convert_to(at_digest || E'\n' || event.told, 'UTF8')), 'hex');
        INSERT INTO events_link (position, event_id, digest) VALUES (at_position, event.id, at_digest);
    END LOOP;
END $$;
