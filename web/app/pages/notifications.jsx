/* What the server told this account. */
import { useAction } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { stirAll, useNewsOf } from '../lib/news.js';
import { api } from '../lib/session.js';
import { moment } from '../lib/time.js';
import { Button, Empty, Failure, Listing, PageHead, Say } from '../ui/parts.jsx';

const IDLE_S = 20; /* without the stream */

export default function Notifications() {
	const source = useNewsOf('/api/notifications?limit=50', IDLE_S);
	const list = source.data?.notifications ?? [];
	const unread = source.data?.unread ?? 0;
	const read = useAction(async (id) => {
		await api(`/api/notifications/${id ? `${id}/read` : 'read-all'}`, { method: 'POST' });
		stirAll();
		await source.reload();
	});
	return (
		<>
			<PageHead title={t('notes.title')} lead={t('notes.lead')}>
				{unread > 0 && <Button busy={read.busy} onClick={() => read.run()}>{t('notes.readAll')}</Button>}
			</PageHead>
			<Failure error={read.error} />
			<Say>{unread > 0 ? t('notes.unread', { n: unread }) : ''}</Say>
			<Listing source={source} count={list.length} empty={<Empty icon="bell" title={t('notes.empty')}>{t('notes.emptyText')}</Empty>}>
				<ul class="rows notes">
					{list.map((n) => (
						<li key={n.id} class={n.is_read ? '' : 'unread'}>
							<div class="row-main">
								<strong>{!n.is_read && <span class="dot"><span class="unseen">{t('notes.new')} </span></span>}{n.title}</strong>
								<span>{n.message}</span>
								{n.data?.attendance_id && n.data.status !== 'removed' && <small><a href={`/app/records/${n.data.attendance_id}`}>{t('record.open')}</a></small>}
							</div>
							<div class="row-side">
								<time datetime={n.created_at}>{moment(n.created_at)}</time>
								{!n.is_read && <Button kind="quiet" onClick={() => read.run(n.id)} aria-label={t('notes.readOne', { title: n.title })}>{t('notes.read')}</Button>}
							</div>
						</li>
					))}
				</ul>
			</Listing>
		</>
	);
}
