// The same workflows as ../workflows.py says them, step by step: a caller cannot tell which worker runs.
import {
  ActivityFailure,
  ApplicationFailure,
  ChildWorkflowFailure,
  condition,
  defineQuery,
  defineSignal,
  executeChild,
  proxyActivities,
  setHandler,
  sleep,
  upsertMemo,
  workflowInfo,
} from '@temporalio/workflow';
import type * as activities from './activities.ts';
import type { Invoice, Line, Outcome, PaidLine } from './shared.ts';

const approvalSeconds = 5 * 24 * 3600;
const linesMax = 100;
const question = 'approval';

const { validate_against_erp } = proxyActivities<typeof activities>({
  scheduleToCloseTimeout: '30 seconds',
  startToCloseTimeout: '10 seconds',
  retry: { maximumAttempts: 5 },
});
const { charge } = proxyActivities<typeof activities>({
  startToCloseTimeout: '10 seconds',
  retry: { maximumAttempts: 3 },
});

interface Answer {
  action: string;
  content?: { approve?: boolean };
}
const approveSignal = defineSignal('ApproveInvoice');
const rejectSignal = defineSignal('RejectInvoice');
const inputSignal = defineSignal<[string, Answer]>('mcp.input');
const statusQuery = defineQuery<string>('GetInvoiceStatus');

export async function InvoiceWorkflow(invoice: Invoice): Promise<Outcome> {
  const { lines } = invoice;
  let status = 'INITIALIZING';
  let approved: boolean | undefined; // undefined: nobody has decided

  // The first decision stands, and none is taken before it is asked for.
  const decide = (yes: boolean) => {
    if (status === 'PENDING-APPROVAL' && approved === undefined) approved = yes;
  };
  const enter = (next: string, done: number) => {
    status = next;
    const due = lines.map((line) => line.due_date).sort()[0];
    const message = next === 'PAYING' ? `PAYING, waiting until each line is due, the first at ${due}` : next;
    upsertMemo({ 'mcp.progress': { progress: done, total: lines.length, message } });
  };
  setHandler(approveSignal, () => decide(true));
  setHandler(rejectSignal, () => decide(false));
  setHandler(inputSignal, (key, response) => {
    if (key === question) decide(response.action === 'accept' && response.content?.approve === true);
  });
  setHandler(statusQuery, () => status);

  if (lines.length === 0 || lines.length > linesMax)
    throw ApplicationFailure.nonRetryable(`an invoice has 1 to ${linesMax} lines`, 'BadInvoice');
  enter('PENDING-VALIDATION', 0);
  await validate_against_erp(invoice);

  const seconds = invoice.approve_within_s ?? approvalSeconds;
  enter('PENDING-APPROVAL', 0);
  upsertMemo({ 'mcp.input': { [question]: approvalQuestion(invoice) } });
  const decided = await condition(() => approved !== undefined, seconds * 1000);
  upsertMemo({ 'mcp.input': null });
  if (!decided) {
    status = 'FAILED';
    throw ApplicationFailure.nonRetryable(`nobody approved or rejected it within ${seconds} s`, 'ApprovalTimeout');
  }
  if (!approved) {
    enter('REJECTED', 0);
    return { invoice_id: invoice.invoice_id, status, lines: lines.map((line) => ({ ...line, status: 'NOT-PAID' })) };
  }

  enter('PAYING', 0);
  const paid = await Promise.all(lines.map((line, index) => pay(index + 1, line)));
  const failed = paid.filter((line) => line.status === 'FAILED');
  enter(failed.length > 0 ? 'FAILED' : 'PAID', paid.length - failed.length);
  const outcome = { invoice_id: invoice.invoice_id, status, lines: paid };
  if (failed.length > 0) {
    // A failure is a failure: a workflow that returned here would be COMPLETED, and read as paid.
    const words = failed.map((line) => `${line.description}: ${line.reason}`).join('; ');
    throw ApplicationFailure.nonRetryable(
      `${failed.length} of ${paid.length} payments failed: ${words}`,
      'InvoiceFailed',
      outcome,
    );
  }
  return outcome;
}

function approvalQuestion(invoice: Invoice) {
  const total = invoice.lines.reduce((sum, line) => sum + line.amount, 0).toFixed(2);
  return {
    method: 'elicitation/create',
    params: {
      mode: 'form',
      message: `Approve invoice ${invoice.invoice_id} of ${invoice.customer} for ${total}?`,
      requestedSchema: {
        type: 'object',
        properties: { approve: { type: 'boolean', title: 'Approve' } },
        required: ['approve'],
      },
    },
  };
}

async function pay(number: number, line: Line): Promise<PaidLine> {
  try {
    const confirmation: string = await executeChild(PayLineItem, {
      args: [line],
      workflowId: `${workflowInfo().workflowId}-line-${number}`,
    });
    return { ...line, status: 'PAID', confirmation };
  } catch (error) {
    if (!(error instanceof ChildWorkflowFailure)) throw error;
    const cause = error.cause instanceof ActivityFailure ? error.cause.cause : error.cause;
    return { ...line, status: 'FAILED', reason: cause?.message };
  }
}

// One line: sleeps until it is due, however long that is, then pays once.
export async function PayLineItem(line: Line): Promise<string> {
  const wait = Date.parse(line.due_date) - Date.now();
  if (wait > 0) await sleep(wait);
  return await charge(line);
}
