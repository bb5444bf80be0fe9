export interface Line {
  description: string;
  amount: number;
  due_date: string;
}
export interface PaidLine extends Line {
  status: 'PAID' | 'FAILED' | 'NOT-PAID';
  confirmation?: string;
  reason?: string;
}
export interface Invoice {
  invoice_id: string;
  customer: string;
  lines: Line[];
  approve_within_s?: number;
}
export interface Outcome {
  invoice_id: string;
  status: string;
  lines: PaidLine[];
}
export const taskQueue = 'invoice-task-queue';
