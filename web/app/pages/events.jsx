/* Events: what was and what comes.  Administrators make and change them. */
import { useState } from 'preact/hooks';

import { useAction, useData, usePost } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { api, session } from '../lib/session.js';
import { clock, day, fromLocalInput, fullDay, toLocalInput } from '../lib/time.js';
import { Icon } from '../ui/icons.jsx';
import { Button, Chip, DialogForm, Empty, Field, Listing, PageHead } from '../ui/parts.jsx';

const nextHour = () => {
	const d = new Date(Date.now() + 3600_000);
	d.setMinutes(0, 0, 0);
	return d.toISOString();
};

export function EventDialog({ event, onClose, onSaved }) {
	const post = usePost();
	const [form, set] = useState({
		title: event?.title ?? '', scheduled_at: toLocalInput(event?.scheduled_at ?? nextHour()), ends_at: event?.ends_at ? toLocalInput(event.ends_at) : '',
		description: event?.description ?? '', notes: event?.notes ?? '', capacity: event?.capacity ?? '',
	});
	const action = useAction(async () => {
		const body = {
			title: form.title.trim(), description: form.description.trim(), notes: form.notes.trim(), scheduled_at: fromLocalInput(form.scheduled_at),
			ends_at: form.ends_at ? fromLocalInput(form.ends_at) : undefined, capacity: form.capacity === '' ? undefined : Number(form.capacity),
		};
		const saved = event
			? await api(`/api/admin/events/${event.id}`, { method: 'PATCH', body })
			: await post('/api/admin/events', body);
		onSaved(saved);
	});
	const { error } = action;
	const input = (name) => ({ name, value: form[name], onInput: (e) => set({ ...form, [name]: e.currentTarget.value }), error: error?.fields?.[name] });
	return (
		<DialogForm wide title={t(event ? 'event.edit' : 'event.new')} action={action} act={t(event ? 'save' : 'event.create')} onClose={onClose}>
			<Field label={t('event.name')} required maxLength={200} {...input('title')} />
			<div class="pair">
				<Field label={t('event.starts')} type="datetime-local" required {...input('scheduled_at')} />
				<Field label={t('event.ends')} type="datetime-local" min={form.scheduled_at} required={!!event?.ends_at} hint={t('event.endsHint')} {...input('ends_at')} />
			</div>
			<Field label={t('event.description')} as="textarea" rows={2} maxLength={2000} {...input('description')} />
			<div class="pair">
				<Field label={t('event.notes')} hint={t('event.notesHint')} maxLength={2000} {...input('notes')} />
				<Field label={t('event.capacity')} type="number" min={1} max={100000} required={event?.capacity != null} hint={t('event.capacityHint')} {...input('capacity')} />
			</div>
		</DialogForm>
	);
}

function Row({ event, admin }) {
	const inner = (
		<>
			<span class="date" aria-hidden="true"><b>{new Date(event.scheduled_at).getDate()}</b>{day(event.scheduled_at).replace(/[\d.]+/g, '').replace(/[\s,]+/g, ' ').trim()}</span>
			<div class="row-main">
				<strong>{event.title}</strong>
				<span><span class="unseen">{fullDay(event.scheduled_at)}, </span>{clock(event.scheduled_at)}{event.ends_at && ` – ${clock(event.ends_at)}`}{event.description && ` · ${event.description}`}</span>
			</div>
			<div class="row-side">
				{event.user_attended && <Chip kind="good">{t('events.attended')}</Chip>}
				{admin && <span class="heads"><Icon name="people" size={18} /><span aria-hidden="true">{event.attendance_count}</span><span class="unseen">{t('events.count', { n: event.attendance_count })}</span></span>}
			</div>
		</>
	);
	return <li>{admin ? <a class="row-link" href={`/app/events/${event.id}`}>{inner}</a> : inner}</li>;
}

function group(events) {
	const midnight = new Date().setHours(0, 0, 0, 0);
	const tomorrow = new Date(midnight).setDate(new Date(midnight).getDate() + 1);
	const at = (e) => Date.parse(e.scheduled_at);
	const up = [...events].sort((a, b) => at(a) - at(b));
	return [
		{ key: 'events.today', list: up.filter((e) => at(e) >= midnight && at(e) < tomorrow) },
		{ key: 'events.upcoming', list: up.filter((e) => at(e) >= tomorrow) },
		{ key: 'events.past', list: up.filter((e) => at(e) < midnight).reverse() },
	].filter((g) => g.list.length);
}

export default function Events() {
	const admin = session.value.user.role === 'admin';
	const source = useData('/api/events', { every: 30 });
	const [creating, setCreating] = useState(false);
	const events = source.data?.events ?? [];
	const create = <Button kind="primary" icon="plus" onClick={() => setCreating(true)}>{t('event.new')}</Button>;
	return (
		<>
			<PageHead title={t('events.title')} lead={t('events.lead')}>{admin && create}</PageHead>
			<Listing source={source} count={events.length} empty={
				<Empty icon="calendar" title={t('events.empty')} action={admin && create}>{t(admin ? 'events.emptyAdmin' : 'events.emptyStudent')}</Empty>
			}>
				{group(events).map((g) => (
					<section key={g.key}>
						<h2 class="section">{t(g.key)}</h2>
						<ul class="rows">{g.list.map((e) => <Row key={e.id} event={e} admin={admin} />)}</ul>
					</section>
				))}
			</Listing>
			{creating && <EventDialog onClose={() => setCreating(false)} onSaved={() => {
				setCreating(false);
				source.reload();
			}} />}
		</>
	);
}
