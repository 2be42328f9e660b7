#include <vector>

#include "common/wire/job_conversion.h"

namespace espalier::wire {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// MergeFrom would append lists; ours replace.
void ClearReplacedLists(const Message& source, Message* target) {
  std::vector<const FieldDescriptor*> fields;
  source.GetReflection()->ListFields(source, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->is_repeated()) {
      target->GetReflection()->ClearField(target, field);
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE &&
               target->GetReflection()->HasField(*target, field)) {
      ClearReplacedLists(source.GetReflection()->GetMessage(source, field),
                         target->GetReflection()->MutableMessage(target, field));
    }
  }
}

}  // namespace

void MergeOver(const v1::JobSpec& source, v1::JobSpec* target) {
  ClearReplacedLists(source, target);
  target->MergeFrom(source);
}

}  // namespace espalier::wire
