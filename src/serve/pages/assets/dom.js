// Builds elements. Text from outside only ever becomes a text node.

const SVG = 'http://www.w3.org/2000/svg';

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An element with attributes, listeners (`onclick`) and children: nodes or text. */
export function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An element of a drawing. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** A name from outside. Its direction of writing does not touch the text around it. */
export function name(text, attributes) {
  return el('bdi', { class: 'name', ...attributes }, text);
}

export function button(label, onclick, attributes) {
  return el('button', { type: 'button', onclick, ...attributes }, label);
}

let serial = 0;

/** An id that no other element has. */
export function freshId(prefix) {
  serial += 1;
  return `${prefix}-${serial}`;
}

/** Says something through a screen reader. */
export function announce(text) {
  const place = document.getElementById('announce');
  if (place) place.textContent = text;
}

/** A button that copies a text, and says so. */
export function copyButton(text, what) {
  const node = button(
    'Copy',
    async () => {
      try {
        await navigator.clipboard.writeText(text);
        node.textContent = 'Copied';
        announce(`${what} is copied.`);
      } catch {
        node.textContent = 'Select the text and copy it';
        announce('The browser does not allow copying. Select the text and copy it.');
      }
      setTimeout(() => {
        node.textContent = 'Copy';
      }, 2500);
    },
    { class: 'small', 'aria-label': `Copy ${what}` },
  );
  return node;
}

/** Saves a text as a file of the visitor. */
export function saveFile(fileName, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = el('a', { href: address, download: fileName, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** A name as a part of a file's name. */
export function fileNamePart(text) {
  return text.replace(/[^\p{L}\p{N}_-]+/gu, '_').slice(0, 60) || '_';
}
