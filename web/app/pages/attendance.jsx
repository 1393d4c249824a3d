/* A student's own attendance. */
import { useData } from '../lib/data.js';
import { language, t } from '../lib/i18n.js';
import { session } from '../lib/session.js';
import { clock, fullDay } from '../lib/time.js';
import { Button, Empty, Listing, PageHead, Ring } from '../ui/parts.jsx';
import { StatusChip } from '../ui/status.jsx';

export default function Attendance() {
	const mine = useData('/api/attendance/me');
	const { records = [], attended = 0, total = 0, attendance_rate: rate = 0 } = mine.data ?? {};
	const name = session.value.user.full_name.split(' ')[0];
	const percent = new Intl.NumberFormat(language.value.id, { maximumFractionDigits: 0 }).format(rate);
	return (
		<>
			<PageHead title={t('mine.title')} lead={t('mine.lead', { name })}>
				<Button kind="primary" icon="scan" href="/app/scan">{t('scan.title')}</Button>
			</PageHead>
			<Listing source={mine} count={records.length} empty={
				<Empty icon="check" title={t('mine.empty')} action={<Button kind="primary" icon="scan" href="/app/scan">{t('scan.title')}</Button>}>{t('mine.emptyText')}</Empty>
			}>
				<section class="panel summary">
					<Ring left={rate} of={100} size={116} stroke={10}>{percent}<small>%</small></Ring>
					<div>
						<h2>{t('mine.rate')}</h2>
						<p>{t('mine.rateText', { attended, total })}</p>
					</div>
				</section>
				<h2 class="section">{t('mine.history')}</h2>
				<ul class="rows">
					{records.map((r) => (
						<li key={r.attendance_id}>
							<div class="row-main">
								<strong>{r.event.title}</strong>
								<span>{fullDay(r.event.scheduled_at)}</span>
							</div>
							<div class="row-side">
								<StatusChip status={r.status} />
								<span>{t('mine.at', { time: clock(r.marked_at) })}</span>
							</div>
						</li>
					))}
				</ul>
			</Listing>
		</>
	);
}
