-- Enter differences to another price: [{entry, month, micros}]. Only balances of money change.
CREATE OR REPLACE FUNCTION budgets_rerate(rerating bigint, version text, asked jsonb, at timestamptz) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    PERFORM FROM budgets_window WHERE id IN (
        SELECT unnest(e.windows) FROM jsonb_to_recordset(asked) AS a(entry bigint, month date)
        JOIN budgets_ledgerentry e ON e.id = a.entry AND e.month = a.month
    ) ORDER BY id FOR UPDATE;
    FOR c IN
        SELECT e.*, a.micros AS more FROM jsonb_to_recordset(asked) AS a(entry bigint, month date, micros bigint)
        JOIN budgets_ledgerentry e ON e.id = a.entry AND e.month = a.month ORDER BY e.id
    LOOP
        UPDATE budgets_window SET
            spent = LEAST(GREATEST(spent + overrun + c.more, 0), "limit" - reserved),
            overrun = GREATEST(spent + overrun + c.more - ("limit" - reserved), 0)
        WHERE id = ANY(c.windows) AND resource = 'money';
        INSERT INTO budgets_ledgerentry (
            month, key, kind, reservation_id, project_id, machine_id, member_id, windows, amounts, micros, label,
            price_version, actor, created_at
        ) SELECT
            c.month, 'rerate:' || rerating || ':' || c.id, 'rerating', c.reservation_id, c.project_id, c.machine_id,
            c.member_id, coalesce(array_agg(w.id), '{}'), coalesce(array_agg(c.more), '{}'), c.more, c.label, version, '', at
        FROM budgets_window w WHERE w.id = ANY(c.windows) AND w.resource = 'money';
    END LOOP;
END $$;
