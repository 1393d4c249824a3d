/* Attendance by hand: recording somebody, changing or removing a record, always with a reason that the student reads. */
import { useState } from 'preact/hooks';

import { useAction, useData } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api } from '../lib/session.js';
import { Button, Dialog, Failure, Field, Form } from './parts.jsx';

const FOUND_MAX = 8;
const statuses = ['present', 'late', 'excused', 'absent'];

function Reason({ value, onInput, error }) {
	return <Field label={t('manual.reason')} hint={t('manual.reasonHint')} as="textarea" rows={2} required maxLength={1000} value={value} error={error} onInput={(e) => onInput(e.currentTarget.value)} />;
}

function Status({ value, onChange, more = [] }) {
	return (
		<Field label={t('event.status')} as="select" value={value} onChange={(e) => onChange(e.currentTarget.value)}>
			{[...statuses, ...more].map((s) => <option key={s} value={s}>{t(`status.${s}`)}</option>)}
		</Field>
	);
}

/* Of a course its roster; else everybody, whom only administrators may search. */
function Search({ course, known, onPick }) {
	const [search, setSearch] = useState('');
	const word = search.trim();
	const asks = !course && word.length >= 2;
	const source = useData(course ? `/api/v1/lecturer/courses/${course.id}/roster` : asks ? `/api/admin/users?limit=${FOUND_MAX}&search=${encodeURIComponent(word)}` : null);
	const marked = new Set(known.map((r) => r.user.id));
	const fits = (u) => `${u.full_name} ${u.email}`.toLocaleLowerCase().includes(word.toLocaleLowerCase());
	const users = course ? (source.data?.students ?? []).filter((u) => fits(u) && !marked.has(u.id)).slice(0, FOUND_MAX) : (asks && source.data?.users) || [];
	return (
		<>
			<Field label={t('manual.who')} hint={t('manual.whoHint')} type="search" value={search} maxLength={100} onInput={(e) => setSearch(e.currentTarget.value)} />
			<Failure error={source.error} />
			<ul class="rows picks" aria-label={t('manual.found')}>
				{users.map((u) => (
					<li class="request" key={u.id}>
						<div class="row-main"><strong>{u.full_name}</strong><span>{u.email}</span></div>
						{marked.has(u.id) ? <small>{t('manual.there')}</small>
							: <Button onClick={() => onPick(u)} aria-label={t('manual.pickName', { name: u.full_name })}>{t('manual.pick')}</Button>}
					</li>
				))}
			</ul>
		</>
	);
}

/* `path` is where records are made; `course` a session's, or null. */
export function ManualAdd({ path, course, known, onClose, onSaved }) {
	const [user, setUser] = useState(null);
	const [status, setStatus] = useState('present');
	const [reason, setReason] = useState('');
	const save = useAction(async () => {
		await api(path, { method: 'POST', body: { user_id: user.id, status, reason: reason.trim() } });
		onSaved();
	});
	return (
		<Dialog title={t('manual.add')} onClose={onClose}>
			{!user && <Search course={course} known={known} onPick={setUser} />}
			{user && (
				<Form onSend={save.run}>
					<p class="text"><strong>{user.full_name}</strong> · {user.email}</p>
					<Failure error={save.error} />
					<Status value={status} onChange={setStatus} />
					<Reason value={reason} onInput={setReason} error={save.error?.fields?.reason} />
					<footer>
						<Button onClick={onClose}>{t('cancel')}</Button>
						<Button kind="primary" type="submit" busy={save.busy}>{t('save')}</Button>
					</footer>
				</Form>
			)}
		</Dialog>
	);
}

export function ManualChange({ eventId, record, onClose, onSaved }) {
	const [status, setStatus] = useState(record.status === 'flagged' ? 'present' : record.status);
	const [reason, setReason] = useState('');
	const path = `/api/admin/events/${eventId}/attendance/${record.attendance_id}`;
	const save = useAction(async () => {
		await api(path, { method: 'PATCH', body: { status, reason: reason.trim() } });
		onSaved();
	});
	const remove = useAction(async () => {
		await api(path, { method: 'DELETE', body: { reason: reason.trim() } });
		onSaved();
	});
	return (
		<Dialog title={record.user.full_name} onClose={onClose}>
			<Form onSend={save.run}>
				<Failure error={save.error ?? remove.error} />
				<Status value={status} onChange={setStatus} more={['rejected']} />
				<Reason value={reason} onInput={setReason} error={(save.error ?? remove.error)?.fields?.reason} />
				<footer>
					<Button kind="danger-plain" busy={remove.busy} disabled={!reason.trim()} onClick={remove.run}>{t('manual.remove')}</Button>
					<Button kind="primary" type="submit" busy={save.busy}>{t('save')}</Button>
				</footer>
			</Form>
		</Dialog>
	);
}
