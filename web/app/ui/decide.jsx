/*
 * A decision about records, one or many, with one reason.
 *
 * The server decides all of a request or none.  Where it refuses, the request is halved until it is known which record it refused and
 * why; the others are decided.  A request that no answer came for is sent again as it was, under its key, so nothing is decided twice.
 *
 * What is chosen and written outlives the page, for the account that wrote it: a login that ends in between loses nothing.
 */
import { effect } from '@preact/signals';
import { useState } from 'preact/hooks';

import { useAction } from '../lib/data.js';
import { randomKey } from '../lib/http.js';
import { t } from '../lib/i18n.js';
import { api, session } from '../lib/session.js';
import { Button, Dialog, errorText, Failure, Field, Form } from './parts.jsx';
import { StatusChip } from './status.jsx';

export const reviews = () => ['reviewer', 'admin'].includes(session.value.user.role);

const CONFIRM = ''; /* each as it would have been without its flags */
const statuses = () => ['present', 'late', 'excused', 'absent', ...(reviews() ? ['rejected'] : [])];

const drafts = new Map();
effect(() => {
	if (session.value.state === 'out' && !session.value.ended)
		drafts.clear();
});

/** What this account left behind under `name`, and what changes it. */
export function useDraft(name) {
	const key = `${session.value.user.id} ${name}`;
	const [draft, set] = useState(() => drafts.get(key) ?? {});
	return [draft, (next) => {
		drafts.set(key, next);
		set(next);
	}];
}

const idsOf = (rows) => rows.map((r) => r.attendance_id);

/* Decides about the first of `pending`; gives what was found, by id, and what is pending then. */
async function send([{ ids, key }, ...rest], body) {
	try {
		const { records } = await api(`/api/v1/${reviews() ? 'admin' : 'lecturer'}/attendance/decide`, { method: 'POST', key, body: { attendance_ids: ids, ...body } });
		return [records.map((r) => [r.attendance_id, { status: r.status }]), rest];
	} catch (error) {
		if (!['already_decided', 'not_found'].includes(error.code))
			throw error;
		if (ids.length === 1)
			return [[[ids[0], { error }]], rest];
		const half = Math.ceil(ids.length / 2);
		return [[], [{ ids: ids.slice(0, half), key: `${key}0` }, { ids: ids.slice(half), key: `${key}1` }, ...rest]];
	}
}

function Result({ row, found, begun }) {
	return (
		<li>
			<div class="row-main">
				<strong>{row.student.full_name}</strong>
				{found?.error && <span class="field-error">{t('decide.refused', { why: errorText(found.error) })}</span>}
				{begun && !found && <span>{t('decide.open')}</span>}
			</div>
			{found?.status && <StatusChip status={found.status} />}
		</li>
	);
}

/*
 * `draft`: {rows, status, reason, pending, results}, of useDraft(); `onChange` keeps it.  `onDecided`: something was decided.  `onClose`:
 * the window closes.
 */
export function Decide({ draft, onChange, onDecided, onClose }) {
	const { rows, status = rows.length > 1 ? CONFIRM : 'present', reason = '', results = {} } = draft;
	const open = rows.filter((r) => !results[r.attendance_id]);
	const counted = rows.length - open.length;
	const write = (part) => onChange({ ...draft, ...part, pending: undefined }); /* from now on it is another decision */
	const save = useAction(async () => {
		const body = { status: status || undefined, reason: reason.trim() };
		let now = { ...draft, status, reason, results, pending: draft.pending ?? [{ ids: idsOf(open), key: randomKey() }] };
		while (now.pending.length) {
			onChange(now);
			const [found, pending] = await send(now.pending, body);
			now = { ...now, pending, results: { ...now.results, ...Object.fromEntries(found) } };
			onChange(now);
			if (found.length)
				onDecided();
		}
		if (rows.length === 1 && !now.results[rows[0].attendance_id].error)
			onClose();
	});
	const done = open.length === 0;
	const refused = Object.values(results).filter((r) => r.error).length;
	return (
		<Dialog title={rows.length === 1 ? rows[0].student.full_name : t('decide.title', { n: rows.length })} onClose={onClose}>
			<Form onSend={save.run}>
				<Failure error={save.error} />
				{save.error && <p class="hint">{t('decide.kept')}</p>}
				{counted > 0 && <p role="status">{t('decide.said', { n: counted - refused, refused })}</p>}
				{(counted > 0 || rows.length > 1) && (
					<ul class="rows picks" tabIndex={0} aria-label={t('decide.records')}>{rows.map((r) => <Result key={r.attendance_id} row={r} found={results[r.attendance_id]} begun={counted > 0} />)}</ul>
				)}
				{!done && (
					<>
						<Field label={t('event.status')} as="select" value={status} onChange={(e) => write({ status: e.currentTarget.value })}>
							{rows.length > 1 && <option value={CONFIRM}>{t('decide.confirm')}</option>}
							{statuses().map((s) => <option key={s} value={s}>{t(`status.${s}`)}</option>)}
						</Field>
						<Field label={t('manual.reason')} hint={t('manual.reasonHint')} as="textarea" rows={2} required maxLength={1000} value={reason} onInput={(e) => write({ reason: e.currentTarget.value })} />
					</>
				)}
				<footer>
					<Button onClick={onClose}>{t(done ? 'close' : 'cancel')}</Button>
					{!done && <Button kind="primary" type="submit" busy={save.busy}>{t('flagged.decide')}</Button>}
				</footer>
			</Form>
		</Dialog>
	);
}
