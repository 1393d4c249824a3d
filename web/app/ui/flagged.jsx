/* What waits for a human: each mark with the reasons side by side, and the decision. */
import { useState } from 'preact/hooks';

import { useAction } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api, session } from '../lib/session.js';
import { moment } from '../lib/time.js';
import { Layers } from './layers.jsx';
import { Button, Dialog, Failure, Field } from './parts.jsx';
import { Photo } from './photo.jsx';
import { StatusChip } from './status.jsx';

const statuses = ['present', 'late', 'excused', 'absent', 'rejected'];

function Decide({ row, onClose, onDecided }) {
	const [status, setStatus] = useState('present');
	const [reason, setReason] = useState('');
	const save = useAction(async () => {
		await api(`/api/v1/admin/attendance/${row.attendance_id}/set-status`, { method: 'POST', body: { status, reason: reason.trim() } });
		onDecided();
	});
	return (
		<Dialog title={row.student.full_name} onClose={onClose}>
			<form class="form" onSubmit={(e) => {
				e.preventDefault();
				save.run();
			}}>
				<Failure error={save.error} />
				<Field label={t('event.status')} as="select" value={status} onChange={(e) => setStatus(e.currentTarget.value)}>
					{statuses.map((s) => <option key={s} value={s}>{t(`status.${s}`)}</option>)}
				</Field>
				<Field label={t('manual.reason')} hint={t('manual.reasonHint')} as="textarea" rows={2} required maxLength={1000} value={reason} onInput={(e) => setReason(e.currentTarget.value)} />
				<footer>
					<Button onClick={onClose}>{t('cancel')}</Button>
					<Button kind="primary" type="submit" busy={save.busy}>{t('flagged.decide')}</Button>
				</footer>
			</form>
		</Dialog>
	);
}

const reviews = () => ['reviewer', 'admin'].includes(session.value.user.role);
const sent = (layers) => layers?.some((l) => l.layer === 'face' && ['pass', 'flag'].includes(l.verdict) && l.detail !== 'no selfie was sent');

/* Each look is in the audit trail, so it takes a click. */
function Selfie({ row, days }) {
	const [picture, setPicture] = useState(null);
	const { full_name: name } = row.student;
	const show = useAction(async () => setPicture(picture ? null
		: await api(`/api/v1/${reviews() ? 'admin' : 'lecturer'}/attendance/${row.attendance_id}/selfie`, { as: 'blob' })));
	if (!row.has_selfie)
		return sent(row.layers) ? <p class="hint">{t('flagged.selfieGone', { n: days })}</p> : null;
	return (
		<div class="seen-selfie">
			<Failure error={show.error} />
			{picture && <Photo blob={picture} label={t('flagged.selfieOf', { name })} />}
			<Button icon="picture" busy={show.busy} onClick={show.run} aria-label={t(picture ? 'flagged.hideSelfieOf' : 'flagged.showSelfieOf', { name })}>{t(picture ? 'flagged.hideSelfie' : 'flagged.showSelfie')}</Button>
			{!picture && <small>{t('flagged.selfieHint')}</small>}
		</div>
	);
}

function Flagged({ row, days, onDecided, showSession }) {
	const [deciding, setDeciding] = useState(false);
	const confirm = useAction(async () => {
		await api(reviews() ? `/api/v1/admin/attendance/${row.attendance_id}/verify` : `/api/v1/lecturer/attendance/${row.attendance_id}/confirm`, { method: 'POST', body: {} });
		onDecided();
	});
	return (
		<li class="request flagged">
			<div class="row-main">
				<strong>{row.student.full_name} <StatusChip status={row.status} /></strong>
				<span>{row.student.email}</span>
				<small>{showSession && `${row.session.title} · `}{moment(row.marked_at)} · {t(`method.${row.method}`)}</small>
				<Layers layers={row.layers} />
				<Selfie row={row} days={days} />
				{row.dispute_note && <blockquote>{row.dispute_note}</blockquote>}
				<Failure error={confirm.error} />
			</div>
			<div class="decide">
				{reviews() && <Button onClick={() => setDeciding(true)} aria-label={t('flagged.decideName', { name: row.student.full_name })}>{t('flagged.decide')}</Button>}
				<Button kind="primary" busy={confirm.busy} onClick={confirm.run} aria-label={t('flagged.confirmName', { name: row.student.full_name })}>{t('flagged.confirm')}</Button>
			</div>
			{deciding && <Decide row={row} onClose={() => setDeciding(false)} onDecided={() => {
				setDeciding(false);
				onDecided();
			}} />}
		</li>
	);
}

/* `queue`: the server's answer. */
export function FlaggedRows({ queue, onDecided, showSession }) {
	return <ul class="rows">{queue.flagged.map((r) => <Flagged key={r.attendance_id} row={r} days={queue.selfie_days} onDecided={onDecided} showSession={showSession} />)}</ul>;
}
