import { Button, CharacterCount, ErrorSummary, SkipLink, createAll } from 'govuk-frontend'
import report from './report.js'

document.body.classList.add('js-enabled', 'govuk-frontend-supported')
for (const component of [Button, CharacterCount, ErrorSummary, SkipLink]) createAll(component)

const form = document.querySelector('form[data-report]')
if (form) report(form)
