/* What the checks of a mark found, each with its reason. */
import { has, t } from '../lib/i18n.js';
import { Chip } from './parts.jsx';

const kinds = { pass: 'good', flag: 'warn', reject: 'bad', skip: 'plain' };

/* The server's sentence in the language of the page, where it is one that is known. */
export const said = (text) => (has(`said.${text}`) ? t(`said.${text}`) : text);

const nameOf = (layer) => (has(`layer.${layer}`) ? t(`layer.${layer}`) : layer);

/* `all`: those that passed without a word as well. */
export function Layers({ layers, all }) {
	const told = (layers ?? []).filter((l) => l.verdict === 'flag' || l.verdict === 'reject' || l.detail || (all && l.verdict === 'pass'));
	return (
		<ul class="layers">
			{told.map((l) => (
				<li key={l.layer}><Chip kind={kinds[l.verdict]}>{nameOf(l.layer)}</Chip> <span>{l.detail ? said(l.detail) : t(`verdict.${l.verdict}`)}</span></li>
			))}
		</ul>
	);
}
