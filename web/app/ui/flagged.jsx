/* What waits for a human: each mark with the reasons side by side; the decision, about one or about many at once. */
import { useEffect, useRef } from 'preact/hooks';

import { useAction } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api } from '../lib/session.js';
import { moment } from '../lib/time.js';
import { Decide, reviews, useDraft } from './decide.jsx';
import { Layers } from './layers.jsx';
import { Button, Failure } from './parts.jsx';
import { Selfie } from './selfie.jsx';
import { StatusChip } from './status.jsx';

export const QUEUE_MAX = 100; /* shown, and decided, at once */

function Flagged({ row, days, chosen, onChoose, onDecide, onDecided, showSession }) {
	const { full_name: name } = row.student;
	const confirm = useAction(async () => {
		await api(reviews() ? `/api/v1/admin/attendance/${row.attendance_id}/verify` : `/api/v1/lecturer/attendance/${row.attendance_id}/confirm`, { method: 'POST', body: {} });
		onDecided();
	});
	return (
		<li class="request flagged">
			{onChoose && <input type="checkbox" class="choose" checked={chosen} aria-label={t('decide.choose', { name })} onChange={onChoose} />}
			<div class="row-main">
				<strong>{name} <StatusChip status={row.status} /></strong>
				<span>{row.student.email}</span>
				<small>{showSession && `${row.session.title} · `}{moment(row.marked_at)} · {t(`method.${row.method}`)}</small>
				<Layers layers={row.layers} />
				<Selfie record={row} days={days} />
				{row.dispute_note && <blockquote>{row.dispute_note}</blockquote>}
				<small><a href={`/app/records/${row.attendance_id}`} aria-label={t('record.ofName', { name })}>{t('record.open')}</a></small>
				<Failure error={confirm.error} />
			</div>
			<div class="decide">
				<Button onClick={onDecide} aria-label={t('flagged.decideName', { name })}>{t('flagged.decide')}</Button>
				<Button kind="primary" busy={confirm.busy} onClick={confirm.run} aria-label={t('flagged.confirmName', { name })}>{t('flagged.confirm')}</Button>
			</div>
		</li>
	);
}

function ChooseAll({ some, all, n, onChange }) {
	const box = useRef(null);
	useEffect(() => {
		box.current.indeterminate = some && !all;
	}, [some, all]);
	return <label><input ref={box} type="checkbox" checked={all} onChange={onChange} /> <span>{t('decide.all', { n })}</span></label>;
}

/* `queue`: the server's answer; `name`: what is chosen is kept under it. */
export function FlaggedRows({ queue, name, onDecided, showSession }) {
	const rows = queue.flagged;
	const [draft, write] = useDraft(name);
	const ids = new Set(draft.chosen ?? []);
	const chosen = rows.filter((r) => ids.has(r.attendance_id));
	const choose = (list) => write({ ...draft, chosen: list });
	const decide = (list) => write({ chosen: draft.chosen, rows: list });
	return (
		<>
			{rows.length > 1 && (
				<div class="choice" data-some={chosen.length > 0 || undefined}>
					<ChooseAll some={chosen.length > 0} all={chosen.length === rows.length} n={rows.length}
						onChange={() => choose(chosen.length === rows.length ? [] : rows.map((r) => r.attendance_id))} />
					<span role="status">{chosen.length > 0 && t('decide.chosen', { n: chosen.length })}</span>
					<Button kind="primary" disabled={chosen.length === 0} onClick={() => decide(chosen)}>{t('decide.act')}</Button>
				</div>
			)}
			{queue.total > rows.length && <p class="hint">{t('flagged.first', { n: rows.length, total: queue.total })}</p>}
			<ul class="rows">
				{rows.map((r) => (
					<Flagged key={r.attendance_id} row={r} days={queue.selfie_days} chosen={ids.has(r.attendance_id)} onDecide={() => decide([r])} onDecided={onDecided}
						showSession={showSession} onChoose={rows.length > 1 && ((e) => choose(e.currentTarget.checked ? [...ids, r.attendance_id] : [...ids].filter((id) => id !== r.attendance_id)))} />
				))}
			</ul>
			{draft.rows && <Decide draft={draft} onChange={write} onDecided={onDecided} onClose={() => {
				const done = draft.results ?? {};
				write({ chosen: (draft.chosen ?? []).filter((id) => !done[id]) });
			}} />}
		</>
	);
}
