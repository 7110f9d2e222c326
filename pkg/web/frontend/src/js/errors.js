import { ErrorSummary } from 'govuk-frontend'
import { element } from './dom.js'

// showErrors puts messages where the server's own page would: in a summary at
// the top and beside each field, whose id is the field's name.
export function showErrors (form, errors) {
  clearErrors(form)
  const list = element('ul', { className: 'govuk-list govuk-error-summary__list' })
  for (const { field, message } of errors) {
    const control = document.getElementById(field)
    list.append(element('li', {}, control ? element('a', { href: '#' + field }, message) : message))
    if (control && !document.getElementById(field + '-error')) mark(form, control, field, message)
  }
  const summary = element('div', { className: 'govuk-error-summary', 'data-module': 'govuk-error-summary' },
    element('div', { role: 'alert' },
      element('h2', { className: 'govuk-error-summary__title' }, form.dataset.problem),
      element('div', { className: 'govuk-error-summary__body' }, list)))
  slot().replaceWith(summary)
  new ErrorSummary(summary) // eslint-disable-line no-new -- moves the focus there
  document.title = form.dataset.error + ' ' + document.title
}

// clearErrors takes away every message, whoever put it there.
export function clearErrors (form) {
  slot().replaceWith(element('div', { 'data-errors': '' }))
  form.querySelectorAll('.govuk-error-message').forEach(message => {
    form.querySelectorAll(`[aria-describedby~="${message.id}"]`).forEach(e => {
      const rest = e.getAttribute('aria-describedby').split(' ').filter(id => id !== message.id).join(' ')
      rest ? e.setAttribute('aria-describedby', rest) : e.removeAttribute('aria-describedby')
    })
    message.remove()
  })
  for (const name of ['govuk-form-group--error', 'govuk-input--error', 'govuk-textarea--error', 'govuk-select--error']) {
    form.querySelectorAll('.' + name).forEach(e => e.classList.remove(name))
  }
  document.title = document.title.replace(form.dataset.error + ' ', '')
}

const slot = () => document.querySelector('[data-errors], .govuk-error-summary')

function mark (form, control, field, message) {
  const group = control.closest('.govuk-form-group')
  group.classList.add('govuk-form-group--error')
  const text = element('p', { className: 'govuk-error-message', id: field + '-error' },
    element('span', { className: 'govuk-visually-hidden' }, form.dataset.error), ' ' + message)
  const several = control.closest('.app-tiles, .govuk-date-input') // one question, several controls
  const described = several ? control.closest('fieldset') : control
  ;(several || control).before(text)
  for (const kind of ['input', 'textarea', 'select']) {
    for (const c of several ? several.querySelectorAll('.govuk-' + kind) : [control]) {
      if (c.classList.contains('govuk-' + kind)) c.classList.add(`govuk-${kind}--error`)
    }
  }
  described.setAttribute('aria-describedby', `${described.getAttribute('aria-describedby') || ''} ${text.id}`.trim())
  for (let box = control.closest('details'); box; box = box.parentElement.closest('details')) box.open = true
}
