/* pb_schema_test.c: look-ups in the generated tables and descriptors. */
#include "base/testing.h"
#include "codec/descriptors.h"
#include "pb/all.pb.h"

TEST(every_method_is_found_by_its_path_and_others_are_not)
{
    CHECK_INT(pb_method_count, PB_METHOD_COUNT);
    for (size_t i = 0; i < pb_method_count; i++) {
        CHECK_PTR(pb_method_find(pb_methods[i].path), &pb_methods[i]);
        CHECK_INT(pb_methods[i].index, i);
    }
    const struct pb_method *start = &pb_methods[PB_METHOD_WorkflowService_StartWorkflowExecution];
    CHECK_BYTES(start->path,
                BYTES("/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecution"));
    CHECK_PTR(start->request, &pb_workflowservice_StartWorkflowExecutionRequest);
    CHECK_PTR(pb_method_find(BYTES("/temporal.api.workflowservice.v1.WorkflowService/StartWorkflowExecutio")),
              NULL);
    CHECK_PTR(pb_method_find(BYTES_EMPTY), NULL);
}

TEST(every_field_is_found_by_its_number)
{
    for (size_t m = 0; m < pb_message_count; m++)
        for (size_t f = 0; f < pb_messages[m].field_count; f++) {
            const struct pb_field *field = pb_message_fields(&pb_messages[m]) + f;
            CHECK_PTR(pb_field_find(&pb_messages[m], field->number), field);
            CHECK(f == 0 || field[-1].number < field->number);
        }
    CHECK_PTR(pb_field_find(&pb_common_Payload, 99), NULL);
    CHECK_PTR(pb_field_find(&pb_google_Empty, 1), NULL);
}

TEST(enum_values_go_by_full_name_and_short_form)
{
    int32_t number;
    CHECK(pb_enum_value_find(&pb_enum_enums_WorkflowExecutionStatus,
                             BYTES("WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW"), &number));
    CHECK_INT(number, enums_WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW);
    CHECK(pb_enum_value_find(&pb_enum_enums_WorkflowExecutionStatus, BYTES("ContinuedAsNew"), &number));
    CHECK_INT(number, enums_WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW);
    CHECK(!pb_enum_value_find(&pb_enum_enums_WorkflowExecutionStatus, BYTES("Continued"), &number));
    CHECK(!pb_enum_value_find(&pb_enum_enums_WorkflowExecutionStatus, BYTES_EMPTY, &number));
    CHECK(pb_enum_value_find(&pb_enum_enums_EncodingType, BYTES("Proto3"), &number));
    CHECK_INT(number, enums_ENCODING_TYPE_PROTO3);
    CHECK_PTR(pb_enum_find(BYTES("temporal.api.enums.v1.EventType")), &pb_enum_enums_EventType);
    CHECK_PTR(pb_enum_find(BYTES("temporal.api.enums.v1.Nothing")), NULL);
    CHECK_TEXT(pb_enum_value_name(&pb_enum_enums_EventType, 1), "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED");
    CHECK_PTR(pb_enum_value_name(&pb_enum_enums_EventType, 9999), NULL);
}

TEST(descriptors_are_found_by_file_and_by_symbol)
{
    struct bytes file, again;
    CHECK(descriptor_find_file(BYTES("common.proto"), &file));
    CHECK(file.base[0] == 0x0A && memcmp(file.base + 2, "common.proto", 12) == 0);
    CHECK(descriptor_find_symbol(BYTES("temporal.api.common.v1.Payload"), &again) && again.base == file.base);
    CHECK(descriptor_find_symbol(BYTES("temporal.api.common.v1.Payload.data"), &again) &&
          again.base == file.base);
    CHECK(descriptor_find_file(BYTES("workflowservice.proto"), &file));
    CHECK(descriptor_find_symbol(BYTES("temporal.api.workflowservice.v1.WorkflowService"), &again) &&
          again.base == file.base);
    CHECK(descriptor_find_symbol(BYTES("temporal.api.workflowservice.v1.WorkflowService.GetSystemInfo"),
                                 &again) &&
          again.base == file.base);
    CHECK(descriptor_find_file(BYTES("enums.proto"), &file));
    CHECK(descriptor_find_symbol(BYTES("temporal.api.enums.v1.EVENT_TYPE_TIMER_FIRED"), &again) &&
          again.base == file.base);
    CHECK(descriptor_find_symbol(BYTES("temporal.api.enums.v1.EventType"), &again) &&
          again.base == file.base);
    CHECK(descriptor_find_symbol(BYTES("temporal.api.workflowservice.v1.WorkflowService/GetSystemInfo"),
                                 &again));
    CHECK(!descriptor_find_symbol(BYTES("temporal.api.common.v1.Nothing"), &again));
    CHECK(!descriptor_find_symbol(BYTES("temporal.api.common.v1.Payload.nothing"), &again));
    CHECK(!descriptor_find_symbol(BYTES("Payload"), &again));
    CHECK(!descriptor_find_file(BYTES_EMPTY, &again));
}
