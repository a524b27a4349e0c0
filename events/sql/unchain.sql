-- The chain's triggers and functions away again; its tables go by their own migration.
DROP TRIGGER events_no_truncate ON events_event;
DROP TRIGGER events_no_truncate ON events_link;
DROP TRIGGER events_append_only ON events_link;
DROP TRIGGER events_no_truncate ON events_head;
DROP TRIGGER events_append_only ON events_head;
DROP TRIGGER events_await_chain ON events_event;
DROP TABLE events_pending;
DROP FUNCTION events_await_chain();
DROP FUNCTION events_chain();
GRANT UPDATE, DELETE, TRUNCATE ON events_event, events_link, events_head TO CURRENT_USER;
