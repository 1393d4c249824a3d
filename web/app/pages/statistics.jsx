/* Figures, and attendance of the events of the last weeks. */
import { useData } from '../lib/data.js';
import { language, t } from '../lib/i18n.js';
import { day } from '../lib/time.js';
import { Bars, Figure } from '../ui/figures.jsx';
import { Failure, PageHead, Skeleton } from '../ui/parts.jsx';

const SHOWN = 12;

export default function Statistics() {
	const stats = useData('/api/admin/stats', { every: 30 });
	const events = useData('/api/events');
	const s = stats.data;
	const past = (events.data?.events ?? []).filter((e) => Date.parse(e.scheduled_at) <= Date.now())
		.sort((a, b) => Date.parse(b.scheduled_at) - Date.parse(a.scheduled_at)).slice(0, SHOWN);
	return (
		<>
			<PageHead title={t('stats.title')} lead={t('stats.lead')} />
			{stats.loading && <Skeleton rows={3} />}
			<Failure error={stats.error} retry={stats.reload} />
			{s && (
				<div class="figures">
					<Figure label={t('stats.rate')} value={`${new Intl.NumberFormat(language.value.id, { minimumFractionDigits: 1 }).format(s.attendance.average_attendance_rate)} %`} note={t('stats.rateNote')} />
					<Figure label={t('stats.records')} value={s.attendance.total_records} />
					<Figure label={t('stats.events')} value={s.events.total} note={t('stats.upcoming', { n: s.events.upcoming })} href="/app/events" />
					<Figure label={t('stats.users')} value={s.users.total} note={t('stats.usersNote', { students: s.users.students, admins: s.users.admins })} />
					<Figure label={t('stats.pending')} value={s.users.pending_approvals} href="/app/approvals" />
				</div>
			)}
			{past.length > 0 && (
				<section>
					<h2 class="section">{t('stats.perEvent')}</h2>
					<div class="panel"><Bars rows={past.map((e) => ({ key: e.id, name: e.title, note: day(e.scheduled_at), value: e.attendance_count, shown: e.attendance_count, href: `/app/events/${e.id}` }))} /></div>
				</section>
			)}
		</>
	);
}
