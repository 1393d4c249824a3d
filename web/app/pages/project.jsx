/* The screen of an event. */
import { useData } from '../lib/data.js';
import { useFrames } from '../lib/frames.js';
import { t } from '../lib/i18n.js';
import { session, startSession } from '../lib/session.js';
import { clock, day } from '../lib/time.js';
import { Button, Failure, Skeleton } from '../ui/parts.jsx';
import { Stage } from '../ui/stage.jsx';

export default function Project({ params }) {
	const event = useData(`/api/events/${params.id}`);
	const frames = useFrames(`/api/admin/events/${params.id}`, session.value.state === 'in');
	if (event.loading)
		return <Skeleton />;
	const e = event.data;
	if (!e)
		return <div class="project"><Failure error={event.error} retry={() => startSession().then(event.reload)} /><Button href="/app/events">{t('events.title')}</Button></div>;
	return <Stage title={e.title} lead={`${day(e.scheduled_at)}, ${clock(e.scheduled_at)}${e.notes ? ` · ${e.notes}` : ''}`} back={`/app/events/${e.id}`} frames={frames} />;
}
