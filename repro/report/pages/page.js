'use strict'
// What the page can do beyond being read. All text goes in as text: names may be a stranger's.
const make = (tag, given = {}, ...inside) => {
  const made = Object.assign(document.createElement(tag), given)
  made.append(...inside)
  return made
}
const superscript = number => String(number).replace(/[-0-9]/g, it => '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.indexOf(it)])
const said = value => {
  if (typeof value !== 'number') return String(value)
  const size = Math.abs(value)
  if (size === 0 || (size >= 1e-3 && size < 1e6))
    return value.toLocaleString('en', {maximumSignificantDigits: size < 1e4 ? 4 : 6}).replace('-', '−')
  const [mantissa, power] = value.toExponential(3).split('e')
  return `${+mantissa}·10${superscript(+power)}`.replace('-', '−')
}

// A column's heading sorts by it.
const valueOf = cell => {
  const text = cell.textContent.replaceAll(',', '').replace('−', '-').replace(/^× /, '')
  const number = text === '∞' ? Infinity : parseFloat(text)
  return isNaN(number) ? text : number
}
const sortBy = head => {
  const body = head.closest('table').tBodies[0], column = +head.dataset.column
  const down = head.ariaSort === 'ascending'
  head.closest('thead').querySelectorAll('th').forEach(it => it.removeAttribute('aria-sort'))
  head.ariaSort = down ? 'descending' : 'ascending'
  const inWords = (a, b) => a.localeCompare(b, 'en', {numeric: true})
  const order = (a, b) => typeof a !== typeof b ? (typeof a === 'number' ? -1 : 1)
    : typeof a === 'number' ? (a > b) - (a < b) : inWords(a, b)
  const rows = [...body.rows].sort((a, b) => order(valueOf(a.cells[column]), valueOf(b.cells[column])))
  body.append(...(down ? rows.reverse() : rows))
}
const sortable = table => table.querySelectorAll('th[data-column]').forEach(head => {
  const button = make('button', {type: 'button', onclick: () => sortBy(head)})
  button.append(...head.childNodes)
  head.append(button)
})

// A figure tells what stands where one points, and shows the networks that are chosen.
const ask = figure => {
  const svg = figure.querySelector('svg[role]'), scroll = figure.querySelector('.scroll')
  const source = figure.querySelector('script')
  const tools = make('div', {className: 'tools'})
  figure.prepend(tools)
  const key = figure.querySelector('.networks')
  if (key) tools.append(key)
  tools.append(make('button', {type: 'button', className: 'enlarge', onclick: () => enlarge(figure)}, 'Enlarge'))
  if (!source) return
  const {networks, panels, lists, reach} = JSON.parse(source.textContent)
  const shown = networks.map(() => true), top = svg.viewBox.baseVal.y
  const lines = panels.flatMap(panel => panel.traces.map(trace => ({...trace, panel: panel.title})))
  const points = lines.flatMap((line, number) => {
    const at = lists[line.at]
    return Array.from({length: at.length / 2}, (_, index) => ({line, number, index, x: at[2 * index], y: at[2 * index + 1]}))
  })
  const told = make('div', {className: 'told', hidden: true})
  told.setAttribute('role', 'status')
  const ring = document.createElementNS(svg.namespaceURI, 'circle')
  ring.setAttribute('class', 'ring')
  ring.setAttribute('r', 6)
  let at = null
  const tell = point => {
    at = point
    told.hidden = !point
    if (!point) return ring.remove()
    ring.setAttribute('cx', point.x)
    ring.setAttribute('cy', point.y)
    svg.append(ring)
    const {line, index} = point
    const known = Object.entries(line.columns).map(([word, list]) => [word, said(lists[list][index])])
    const facts = known.filter(([, text]) => text).map(([word, text]) => `${word} ${text}`)
    const when = line.when ? ` (${line.when})` : ''
    const where = panels.length > 1 ? make('div', {className: 'muted'}, line.panel) : ''
    told.replaceChildren(make('strong', {}, networks[line.network].name + when), where, ...facts.map(it => make('div', {}, it)))
    const box = svg.getBoundingClientRect(), outer = figure.getBoundingClientRect()
    const scale = box.width / svg.viewBox.baseVal.width
    const x = box.left - outer.left + point.x * scale, y = box.top - outer.top + (point.y - top) * scale
    const side = x + 16 + told.offsetWidth > outer.width ? x - 16 - told.offsetWidth : x + 16
    told.style.left = `${Math.max(0, Math.min(side, outer.width - told.offsetWidth))}px`
    told.style.top = `${y + 12}px`
  }
  const nearest = event => {
    const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width
    const x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale + top
    let best = null, least = reach ** 2
    for (const point of points) {
      const distance = (point.x - x) ** 2 + (point.y - y) ** 2
      if (distance <= least && shown[point.line.network]) [best, least] = [point, distance]
    }
    return best
  }
  svg.addEventListener('pointermove', event => tell(nearest(event)))
  svg.addEventListener('pointerdown', event => tell(nearest(event)))
  scroll.addEventListener('pointerleave', () => tell(null))
  addEventListener('resize', () => at && tell(at))
  // Left and right go from value to value, up and down from line to line.
  const step = key => {
    const of = number => points.filter(it => it.number === number)
    const visible = lines.map((_, number) => number).filter(number => shown[lines[number].network] && of(number).length)
    if (!visible.length) return null
    if (!at || !visible.includes(at.number)) return of(visible[0])[0]
    const mine = of(at.number), here = visible.indexOf(at.number)
    if (key === 'Home' || key === 'End') return mine.at(key === 'Home' ? 0 : -1)
    if (key === 'ArrowLeft' || key === 'ArrowRight') return mine[at.index + (key === 'ArrowLeft' ? -1 : 1)] ?? at
    const next = of(visible.at((here + (key === 'ArrowUp' ? -1 : 1)) % visible.length))
    return next.reduce((best, it) => Math.abs(it.x - at.x) < Math.abs(best.x - at.x) ? it : best)
  }
  scroll.addEventListener('keydown', event => {
    if (event.key === 'Escape' && at) tell(null)
    else if (/^(Arrow(Left|Right|Up|Down)|Home|End)$/.test(event.key)) tell(step(event.key))
    else return
    event.preventDefault()
    event.stopPropagation()
  })
  scroll.addEventListener('blur', () => tell(null))
  const choose = (number, on) => {
    shown[number] = on
    svg.querySelectorAll(`[data-network="${number}"]`).forEach(it => it.style.display = on ? '' : 'none')
    if (at && !shown[at.line.network]) tell(null)
  }
  if (networks.length > 1 && svg.querySelector('[data-network]')) {
    const entries = [...key.children].slice(0, networks.length)
    const boxes = entries.map((entry, number) => {
      const box = make('input', {type: 'checkbox', checked: true, onchange: () => choose(number, box.checked)})
      entry.replaceWith(make('label', {}, box, ...entry.childNodes))
      return box
    })
    const every = on => boxes.forEach((box, number) => { box.checked = on; choose(number, on) })
    if (networks.length > 3) for (const [word, on] of [['none', false], ['all', true]])
      boxes.at(-1).parentElement.after(make('button', {type: 'button', onclick: () => every(on)}, word))
    key.setAttribute('role', 'group')
    key.setAttribute('aria-label', 'Networks shown')
  }
  const numbers = make('details', {className: 'numbers'}, make('summary', {}, 'The numbers of this figure'))
  numbers.addEventListener('toggle', () => numbers.open && numbers.children.length < 2 && numbers.append(tableOf(networks, panels, lists)))
  scroll.after(told)
  figure.append(numbers)
}
const tableOf = (networks, panels, lists) => {
  const words = [...new Set(panels.flatMap(panel => panel.traces.flatMap(trace => Object.keys(trace.columns))))]
  const heads = ['network', 'when', ...(panels.length > 1 ? ['panel'] : []), ...words]
  const head = make('tr', {}, ...heads.map((word, column) => {
    const cell = make('th', {scope: 'col'}, word)
    cell.dataset.column = column
    return cell
  }))
  const body = make('tbody')
  for (const panel of panels) for (const trace of panel.traces) {
    const many = lists[trace.at].length / 2
    for (let index = 0; index < many; index++) {
      const known = words.map(word => word in trace.columns ? said(lists[trace.columns[word]][index]) : '')
      const cells = [trace.when, ...(panels.length > 1 ? [panel.title] : []), ...known]
      body.append(make('tr', {}, make('th', {scope: 'row'}, networks[trace.network].name), ...cells.map(it => make('td', {}, it))))
    }
  }
  const table = make('table', {}, make('thead', {}, head), body)
  sortable(table)
  const around = make('div', {className: 'scroll tall', tabIndex: 0}, table)
  around.setAttribute('role', 'group')
  around.setAttribute('aria-label', 'The numbers of this figure')
  return around
}
const enlarge = figure => {
  const place = document.createComment(''), whole = make('dialog')
  whole.setAttribute('aria-label', 'Enlarged figure')
  whole.append(make('button', {type: 'button', className: 'close', onclick: () => whole.close()}, 'Close'))
  figure.replaceWith(place)
  whole.append(figure)
  whole.addEventListener('click', event => event.target === whole && whole.close())
  whole.addEventListener('close', () => { place.replaceWith(figure); whole.remove(); figure.querySelector('.enlarge').focus() })
  document.body.append(whole)
  whole.showModal()
}

// The overview shows the artefacts that are asked for.
const filter = form => {
  const cards = [...document.querySelectorAll('.card')]
  const show = () => {
    const wanted = new FormData(form)
    const fits = card => [...wanted].every(([name, value]) => !value || card.dataset[name].split(' ').includes(value))
    cards.forEach(card => card.hidden = !fits(card))
    form.querySelector('output').textContent = `${cards.filter(card => !card.hidden).length} of ${cards.length} shown`
  }
  form.addEventListener('change', show)
  addEventListener('pageshow', show)
}

// A link to a run unfolds it, and printing unfolds all but the long tables: paper cannot.
const unfold = () => {
  const it = document.getElementById(location.hash.slice(1))
  if (it?.localName === 'details') it.open = true
}
document.querySelectorAll('table').forEach(sortable)
document.querySelectorAll('figure').forEach(ask)
document.querySelectorAll('form.filter').forEach(filter)
addEventListener('hashchange', unfold)
addEventListener('beforeprint', () => document.querySelectorAll('details:not(.numbers)').forEach(it => it.open = true))
unfold()
