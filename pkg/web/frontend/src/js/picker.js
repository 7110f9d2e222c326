import { element } from './dom.js'

const most = 6 // tiles shown at once

// sitePicker turns a long <select> of sites into a field to type in and radio
// tiles of what matches: native radios need no combobox, which phones' screen
// readers handle badly. The last two, "Somewhere else" and "Not sure", are
// always there. What it returns chooses a site.
export default function sitePicker (select) {
  const sites = [...select.options].filter(o => o.value)
    .map(o => ({ id: o.value, name: o.text, words: o.text.toLowerCase().split(/[\s,’'()-]+/) }))
  const always = sites.splice(-2)
  let chosen = select.value

  const find = element('input', { className: 'govuk-input', type: 'text', autocomplete: 'off', spellcheck: false, 'aria-describedby': select.getAttribute('aria-describedby') || '' })
  const count = element('p', { className: 'govuk-hint app-find__count', role: 'status' })
  const tiles = element('div', { className: 'app-tiles app-tiles--sites app-find', role: 'radiogroup', 'aria-label': select.labels[0].textContent })
  tiles.addEventListener('change', e => { chosen = e.target.value })

  const tile = ({ id, name }, i) => {
    const radio = element('input', { type: 'radio', name: 'site', id: 'site-' + i, value: id, checked: id === chosen })
    return element('div', { className: 'app-tile' }, radio, element('label', { htmlFor: radio.id }, name))
  }
  const matching = () => {
    const typed = find.value.toLowerCase().split(/\s+/).filter(Boolean)
    if (!typed.length) return sites.filter(s => s.id === chosen)
    return sites.filter(s => typed.every(t => s.words.some(w => w.startsWith(t))))
  }
  let announce
  const draw = () => {
    const found = matching()
    const shown = [...found.slice(0, most), ...always]
    tiles.replaceChildren(...shown.map((s, i) => tile(s, i + 1)))
    clearTimeout(announce)
    announce = setTimeout(() => { count.textContent = find.value.trim() ? (found.length ? found.length > most ? select.dataset.many : select.dataset.found : select.dataset.none).replace('%d', found.length) : '' }, 400)
  }
  find.addEventListener('input', draw)
  find.id = select.id // the label and the error link now lead here
  select.replaceWith(find, count, tiles)
  draw()
  return site => { chosen = site; draw() }
}
