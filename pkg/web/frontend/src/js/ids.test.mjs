import assert from 'node:assert/strict'
import test from 'node:test'
import { receiptCode, uuidv7 } from './ids.js'

test('a receipt has the check character that the server expects', () => {
  assert.equal(receiptCode(Array.from({ length: 15 }, (_, i) => i)), '0123-4567-89AB-CDEZ')
})

test('receipts are four groups of four and differ', () => {
  const codes = Array.from({ length: 1000 }, () => receiptCode())
  for (const code of codes) assert.match(code, /^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){3}$/)
  assert.equal(new Set(codes).size, codes.length)
})

test('an id is a UUID version 7 that begins with the time', () => {
  assert.match(uuidv7(), /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  assert.equal(uuidv7(0x01890a5dac96).slice(0, 13), '01890a5d-ac96')
})
