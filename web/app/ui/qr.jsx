/* A QR code. */
import { encode } from 'uqr';

/* Dark modules as one path, with the quiet zone a reader needs. */
export function QrCode({ text, label }) {
	const { data, size } = encode(text, { ecc: 'M', border: 0 });
	let path = '';
	data.forEach((row, y) => row.forEach((dark, x) => {
		if (dark)
			path += `M${x + 4} ${y + 4}h1v1h-1z`;
	}));
	return (
		<svg class="qr" viewBox={`0 0 ${size + 8} ${size + 8}`} role="img" aria-label={label} shape-rendering="crispEdges" data-text={text}>
			<rect width={size + 8} height={size + 8} fill="#fff" /><path d={path} fill="#000" />
		</svg>
	);
}
