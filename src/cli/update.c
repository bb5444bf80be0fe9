/* update.c: perdure workflow update execute, start, describe, result; workflow execute-update-with-start,
 * start-update-with-start. */
#include <stdio.h>

#include "cli/cli_internal.h"

#define STAGE(name) enums_UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_##name

/* The only one to name: what is admitted may be lost, and what is completed is what execute waits for. */
static const struct cli_name stages[] = { { "accepted", STAGE(ACCEPTED) }, { NULL, 0 } };

/* What is known of an update, whichever call said it. */
struct known_update {
    struct update_UpdateRef *ref;
    struct update_Outcome   *outcome;
    int32_t                  stage;
    struct bytes             name;
};

/* --- requests --- */

static struct workflowservice_UpdateWorkflowExecutionRequest *request_make(struct cli *cli, struct bytes name,
                                                                           struct bytes input, int32_t stage)
{
    struct workflowservice_UpdateWorkflowExecutionRequest *request =
        ARENA_NEW(&cli->arena, struct workflowservice_UpdateWorkflowExecutionRequest);
    request->namespace = cli_namespace(cli);
    request->workflow_execution = cli_execution(cli);
    request->first_execution_run_id = cli_value(cli, FLAG_FIRST_EXECUTION_RUN_ID);
    request->wait_policy = ARENA_NEW(&cli->arena, struct update_WaitPolicy);
    request->wait_policy->lifecycle_stage = stage;
    request->request = ARENA_NEW(&cli->arena, struct update_Request);
    request->request->meta = ARENA_NEW(&cli->arena, struct update_Meta);
    request->request->meta->identity = cli_identity(cli);
    request->request->meta->update_id = cli_given(cli, FLAG_UPDATE_ID) ? cli_value(cli, FLAG_UPDATE_ID)
                                                                       : cli_request_id(cli);
    request->request->input = ARENA_NEW(&cli->arena, struct update_Input);
    request->request->input->name = name;
    request->request->input->args = input;
    return request;
}

/* The server holds a call for a while only; the same id joins the same update. */
static enum status send(struct cli *cli, const struct workflowservice_UpdateWorkflowExecutionRequest *request,
                        struct known_update *ret_update)
{
    struct workflowservice_UpdateWorkflowExecutionResponse response;
    enum status                                            status;
    do {
        response = (struct workflowservice_UpdateWorkflowExecutionResponse){ 0 };
        status = CALL(cli, UpdateWorkflowExecution, request, &response);
    } while (status == ST_OK && response.stage < STAGE(ACCEPTED));
    *ret_update = (struct known_update){ .ref = response.update_ref,
                                         .outcome = response.outcome,
                                         .stage = response.stage,
                                         .name = request->request->input->name };
    return status;
}

/* Asks once, or until there is an outcome. */
static enum status ask(struct cli *cli, struct update_UpdateRef *ref, bool wait, struct known_update *update)
{
    struct update_WaitPolicy policy = { .lifecycle_stage = wait ? STAGE(COMPLETED) : STAGE(UNSPECIFIED) };
    struct workflowservice_PollWorkflowExecutionUpdateRequest request = { .namespace = cli_namespace(cli),
                                                                          .update_ref = ref,
                                                                          .identity = cli_identity(cli),
                                                                          .wait_policy = &policy };
    enum status                                               status = ST_OK;
    while (status == ST_OK && update->outcome == NULL) {
        struct workflowservice_PollWorkflowExecutionUpdateResponse response = { 0 };
        status = CALL(cli, PollWorkflowExecutionUpdate, &request, &response);
        update->ref = response.update_ref;
        update->outcome = response.outcome;
        update->stage = response.stage;
        if (!wait)
            break;
    }
    return status;
}

/* --- what is printed --- */

static const char *stage_text(int32_t stage)
{
    return stage == STAGE(COMPLETED) ? "Completed" : stage == STAGE(ACCEPTED) ? "Accepted" : "Admitted";
}

static enum status print_json(struct cli *cli, const struct known_update *update)
{
    const struct common_WorkflowExecution *execution = update->ref->workflow_execution;
    enum status                            status = ST_OK;
    cli_text_field(cli, "workflowId", execution->workflow_id);
    cli_text_field(cli, "runId", execution->run_id);
    if (update->name.size != 0)
        cli_text_field(cli, "name", update->name);
    cli_text_field(cli, "updateId", update->ref->update_id);
    cli_text_field(cli, "stage", bytes_of_text(stage_text(update->stage)));
    if (update->outcome != NULL && update->outcome->value_case == 1)
        status = cli_payloads_field(cli, "result", update->outcome->success);
    if (update->outcome != NULL && update->outcome->value_case == 2) {
        struct failure_Failure failure = { 0 };
        status = pb_decode(&pb_failure_Failure, update->outcome->failure, &cli->arena, &failure, &cli->error);
        if (status == ST_OK)
            status = cli_message_field(cli, "failure", &pb_failure_Failure, &failure);
    }
    cli_fields_end(cli);
    return status;
}

/* `outcome_only`: nothing but what came of it, for people. A failed update is this command's failure. */
static enum status print_update(struct cli *cli, const struct known_update *update, bool outcome_only)
{
    bool        failed = update->outcome != NULL && update->outcome->value_case == 2;
    enum status status = ST_OK;
    if (cli->json) {
        status = print_json(cli, update);
    } else if (!outcome_only) {
        printf("WorkflowId  %.*s\n", BYTES_FMT(update->ref->workflow_execution->workflow_id));
        printf("RunId       %.*s\n", BYTES_FMT(update->ref->workflow_execution->run_id));
        printf("UpdateId    %.*s\n", BYTES_FMT(update->ref->update_id));
        printf("Stage       %s\n", stage_text(update->stage));
    }
    if (!cli->json && failed)
        cli_print_failure(cli, update->outcome->failure, 0);
    else if (!cli->json && update->outcome != NULL)
        cli_print_payloads(cli, update->outcome->success);
    if (status == ST_OK && failed)
        return error_set(&cli->error, ST_ABORTED, "the update failed");
    return status;
}

/* --- commands --- */

static enum status run(struct cli *cli, bool wait)
{
    struct bytes        input = BYTES_EMPTY;
    struct known_update update = { 0 };
    int32_t             ignored;
    enum status         status = cli_input(cli, &input);
    if (status == ST_OK)
        status = cli_named_value(cli, FLAG_WAIT_FOR_STAGE, stages, &ignored);
    if (status == ST_OK)
        status = send(cli,
                      request_make(cli, cli_value(cli, FLAG_NAME), input,
                                   wait ? STAGE(COMPLETED) : STAGE(ACCEPTED)),
                      &update);
    if (status == ST_OK && wait)
        status = ask(cli, update.ref, true, &update);
    return status != ST_OK ? status : print_update(cli, &update, wait);
}

static enum status run_execute(struct cli *cli)
{
    return run(cli, true);
}

static enum status run_start(struct cli *cli)
{
    return run(cli, false);
}

static enum status look(struct cli *cli, bool wait)
{
    struct update_UpdateRef ref = { .workflow_execution = cli_execution(cli),
                                    .update_id = cli_value(cli, FLAG_UPDATE_ID) };
    struct known_update     update = { 0 };
    enum status             status = ask(cli, &ref, wait, &update);
    return status != ST_OK ? status : print_update(cli, &update, wait);
}

static enum status run_describe(struct cli *cli)
{
    return look(cli, false);
}

static enum status run_result(struct cli *cli)
{
    return look(cli, true);
}

static enum status with_start(struct cli *cli, bool wait)
{
    struct workflowservice_StartWorkflowExecutionRequest          start = { 0 };
    struct bytes                                                  input = BYTES_EMPTY;
    struct workflowservice_ExecuteMultiOperationRequest_Operation operations[2] = { { 0 } };
    struct workflowservice_ExecuteMultiOperationRequest           request = { .namespace = cli_namespace(cli),
                                                                              .operations = operations,
                                                                              .operations_count = 2 };
    struct workflowservice_ExecuteMultiOperationResponse          response = { 0 };
    struct workflowservice_UpdateWorkflowExecutionResponse       *answer;
    int32_t                                                       ignored;
    enum status                                                   status = cli_start_request(cli, &start);
    if (status == ST_OK)
        status = cli_update_input(cli, &input);
    if (status == ST_OK)
        status = cli_named_value(cli, FLAG_UPDATE_WAIT_FOR_STAGE, stages, &ignored);
    if (status != ST_OK)
        return status;
    operations[0].operation_case = 1;
    operations[0].start_workflow = &start;
    operations[1].operation_case = 2;
    operations[1].update_workflow = request_make(cli, cli_value(cli, FLAG_UPDATE_NAME), input,
                                                 wait ? STAGE(COMPLETED) : STAGE(ACCEPTED));
    operations[1].update_workflow->workflow_execution->workflow_id = start.workflow_id;
    do {
        response = (struct workflowservice_ExecuteMultiOperationResponse){ 0 };
        status = CALL(cli, ExecuteMultiOperation, &request, &response);
        if (status == ST_OK && (response.responses_count != 2 || response.responses[1].response_case != 2))
            status = error_set(&cli->error, ST_INTERNAL, "the server answered with other operations");
        if (status != ST_OK)
            return status;
        answer = response.responses[1].update_workflow;
    } while (answer->stage < STAGE(ACCEPTED));
    struct known_update update = { .ref = answer->update_ref,
                                   .outcome = answer->outcome,
                                   .stage = answer->stage,
                                   .name = cli_value(cli, FLAG_UPDATE_NAME) };
    if (wait)
        status = ask(cli, update.ref, true, &update);
    return status != ST_OK ? status : print_update(cli, &update, false);
}

enum status cli_execute_update_with_start(struct cli *cli)
{
    return with_start(cli, true);
}

enum status cli_start_update_with_start(struct cli *cli)
{
    return with_start(cli, false);
}

#define M(flag)      CLI_MASK(flag)
#define WORKFLOW_RUN (M(WORKFLOW_ID) | M(RUN_ID))
#define UPDATE_FLAGS                                                                                         \
    (WORKFLOW_RUN | M(NAME) | M(UPDATE_ID) | M(FIRST_EXECUTION_RUN_ID) | M(INPUT) | M(INPUT_FILE))
#define UPDATE_NEEDED (M(WORKFLOW_ID) | M(NAME))
const struct cli_command cli_update_commands[] = {
    { "workflow update", "execute", "sends an update and waits for what comes of it", UPDATE_FLAGS,
      UPDATE_NEEDED, run_execute, 0 },
    { "workflow update", "start", "sends an update and waits until the workflow has accepted it",
      UPDATE_FLAGS | M(WAIT_FOR_STAGE), UPDATE_NEEDED, run_start, 0 },
    { "workflow update", "describe", "prints how far an update has come", WORKFLOW_RUN | M(UPDATE_ID),
      M(WORKFLOW_ID) | M(UPDATE_ID), run_describe, 0 },
    { "workflow update", "result", "waits for what comes of an update", WORKFLOW_RUN | M(UPDATE_ID),
      M(WORKFLOW_ID) | M(UPDATE_ID), run_result, 0 },
};
const size_t cli_update_command_count = ARRAY_COUNT(cli_update_commands);
