/* Everything that waits for a reviewer. */
import { useData } from '../lib/data.js';
import { t } from '../lib/i18n.js';
import { FlaggedRows } from '../ui/flagged.jsx';
import { Empty, Listing, PageHead, Say } from '../ui/parts.jsx';

export default function Flagged() {
	const source = useData('/api/v1/admin/flagged', { every: 10 });
	return (
		<>
			<PageHead title={t('flagged.title')} lead={t('flagged.lead')} />
			{source.data && <Say>{t('flagged.waiting', { n: source.data.total })}</Say>}
			<Listing source={source} count={source.data?.flagged.length} empty={<Empty icon="check" title={t('flagged.empty')}>{t('flagged.emptyText')}</Empty>}>
				<FlaggedRows queue={source.data} onDecided={source.reload} showSession />
			</Listing>
		</>
	);
}
