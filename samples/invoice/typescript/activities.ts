// What the invoice needs of the outside: the ERP's word, and the payment gateway's hand. Each throws what went wrong.
import { activityInfo } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import type { Invoice, Line } from './shared.ts';

const timeoutMs = 8000;
const errorTextMax = 200;

export async function validate_against_erp(invoice: Invoice): Promise<string> {
  const { result } = await post('/erp/validate', invoice, {});
  return result!;
}

// The key is the same in every attempt, so that the gateway sees a repetition as one: an attempt whose answer was lost may
// have paid.
export async function charge(line: Line): Promise<string> {
  const { workflowExecution, activityId } = activityInfo();
  const key = `${workflowExecution!.workflowId}/${activityId}`;
  const { confirmation } = await post('/payments', line, { 'Idempotency-Key': key });
  return confirmation!;
}

async function post(
  path: string,
  body: unknown,
  headers: Record<string, string>,
): Promise<Record<string, string>> {
  const base = process.env.OFFICE_BASE ?? 'http://127.0.0.1:8090';
  const response = await fetch(base + path, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json', ...headers },
    signal: AbortSignal.timeout(timeoutMs),
  });
  const text = await response.text();
  if (response.status === 402) {
    // A fact, which no repetition changes.
    throw ApplicationFailure.nonRetryable(JSON.parse(text).reason, 'INSUFFICIENT_FUNDS');
  }
  if (!response.ok) {
    const words = `${path}: HTTP ${response.status}: ${text.slice(0, errorTextMax)}`;
    throw ApplicationFailure.retryable(words, `Http${response.status}`);
  }
  return JSON.parse(text);
}
