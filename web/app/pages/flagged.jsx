/* Everything that waits for a reviewer. */
import { useData } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { FlaggedRows, QUEUE_MAX } from '../ui/flagged.jsx';
import { Empty, Listing, PageHead, Say } from '../ui/parts.jsx';

export default function Flagged() {
	const source = useData(`/api/v1/admin/flagged?limit=${QUEUE_MAX}`, { every: 10 });
	return (
		<>
			<PageHead title={t('flagged.title')} lead={t('flagged.lead')} />
			{source.data && <Say>{t('flagged.waiting', { n: source.data.total })}</Say>}
			<Listing source={source} count={1}>
				{source.data?.total === 0 && <Empty icon="check" title={t('flagged.empty')}>{t('flagged.emptyText')}</Empty>}
				<FlaggedRows queue={source.data} name="flagged" onDecided={source.reload} showSession />
			</Listing>
		</>
	);
}
