/* One event: its roll, live; projecting, editing, export. */
import { useState } from 'preact/hooks';

import { useAction, useData } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { go } from '../lib/router.js';
import { api } from '../lib/session.js';
import { clock, fullDay, moment } from '../lib/time.js';
import { ElsewhereButton } from '../ui/elsewhere.jsx';
import { Export } from '../ui/export.jsx';
import { Button, Confirm, Empty, Failure, Field, IconButton, PageHead, Say, Skeleton } from '../ui/parts.jsx';
import { said } from '../ui/layers.jsx';
import { ManualAdd, ManualChange } from '../ui/manual.jsx';
import { StatusChip } from '../ui/status.jsx';
import { EventDialog } from './events.jsx';

const LIVE_S = 5;

function Roll({ source, onChange }) {
	const [search, setSearch] = useState('');
	const records = source.data?.records ?? [];
	const word = search.trim().toLocaleLowerCase();
	const shown = records.filter((r) => !word || `${r.user.full_name} ${r.user.email}`.toLocaleLowerCase().includes(word));
	if (source.loading)
		return <Skeleton />;
	return (
		<>
			<Failure error={source.error} retry={source.reload} />
			<Say>{t('events.count', { n: records.length })}</Say>
			{records.length > 0 && <Field class="short" label={t('event.search')} type="search" value={search} onInput={(e) => setSearch(e.currentTarget.value)} />}
			{source.data && records.length === 0 && <Empty icon="people" title={t('event.noOne')}>{t('event.noOneText')}</Empty>}
			{records.length > 0 && shown.length === 0 && <p class="hint">{t('event.noMatch')}</p>}
			{shown.length > 0 && (
				<div class="table-box" tabIndex={0} role="region" aria-label={t('event.roll')}>
					<table>
						<thead><tr><th scope="col">{t('fullName')}</th><th scope="col">{t('email')}</th><th scope="col">{t('event.status')}</th><th scope="col">{t('event.how')}</th><th scope="col">{t('event.when')}</th><th scope="col"><span class="unseen">{t('edit')}</span></th></tr></thead>
						<tbody>
							{shown.map((r) => (
								<tr key={r.attendance_id}>
									<th scope="row"><a class="name-link" href={`/app/records/${r.attendance_id}`}>{r.user.full_name}</a></th>
									<td>{r.user.email}</td>
									<td><StatusChip status={r.status} /></td>
									<td>{t(`method.${r.method}`)}</td>
									<td>{moment(r.marked_at)}{r.reason && <small class="cell-note">{said(r.reason)}</small>}</td>
									<td><IconButton icon="edit" label={t('manual.changeName', { name: r.user.full_name })} onClick={() => onChange({ record: r })} /></td>
								</tr>
							))}
						</tbody>
					</table>
				</div>
			)}
		</>
	);
}

export default function EventPage({ params }) {
	const source = useData(`/api/events/${params.id}`);
	const roll = useData(`/api/admin/events/${params.id}/attendance`, { every: LIVE_S });
	const [dialog, setDialog] = useState(null);
	const event = source.data;
	const remove = useAction(async () => {
		await api(`/api/admin/events/${params.id}`, { method: 'DELETE' });
		go('/app/events', { replace: true });
	});
	const saved = () => {
		setDialog(null);
		roll.reload();
	};
	const back = { href: '/app/events', label: t('events.title') };

	if (source.loading)
		return <><PageHead title={t('event.title')} back={back} /><Skeleton /></>;
	if (!event)
		return <><PageHead title={t('event.title')} back={back} /><Failure error={source.error} retry={source.reload} /></>;
	return (
		<>
			<PageHead title={event.title} back={back} lead={`${fullDay(event.scheduled_at)}, ${clock(event.scheduled_at)}${event.ends_at ? ` – ${clock(event.ends_at)}` : ''}${event.notes ? ` · ${event.notes}` : ''}`}>
				<Button kind="primary" icon="screen" href={`/app/project/${event.id}`}>{t('event.project')}</Button>
				<ElsewhereButton base={`/api/admin/events/${event.id}`} page={`/app/project/${event.id}`} />
			</PageHead>
			{event.description && <p class="panel text">{event.description}</p>}
			<div class="section-head">
				<h2 class="section">{t('event.roll')} <span class="count">{roll.data?.records.length ?? event.attendance_count}{event.capacity ? ` / ${event.capacity}` : ''}</span></h2>
				<div class="actions">
					<Button icon="plus" onClick={() => setDialog('add')}>{t('manual.add')}</Button>
					<Export path={`/api/admin/events/${event.id}/attendance.csv`} title={event.title} at={event.scheduled_at} format="csv" />
					<Export path={`/api/admin/events/${event.id}/attendance.xlsx`} title={event.title} at={event.scheduled_at} format="xlsx" />
					<Button icon="edit" onClick={() => setDialog('edit')}>{t('edit')}</Button>
					<Button kind="danger-plain" onClick={() => setDialog('delete')}>{t('delete')}</Button>
				</div>
			</div>
			<Roll source={roll} onChange={setDialog} />
			{dialog === 'add' && <ManualAdd path={`/api/admin/events/${event.id}/attendance`} known={roll.data?.records ?? []} onClose={() => setDialog(null)} onSaved={saved} />}
			{dialog?.record && <ManualChange eventId={event.id} record={dialog.record} onClose={() => setDialog(null)} onSaved={saved} />}
			{dialog === 'edit' && <EventDialog event={event} onClose={() => setDialog(null)} onSaved={() => {
				setDialog(null);
				source.reload();
			}} />}
			{dialog === 'delete' && <Confirm title={t('event.delete')} text={t('event.deleteText', { title: event.title })} act={t('delete')} action={remove} onClose={() => setDialog(null)} />}
		</>
	);
}
