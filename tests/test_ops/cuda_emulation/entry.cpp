// The launchers of the ops behind a C interface, for emulator.py.
#include "frn.h"
#include "group_norm.h"

namespace {

struct Buffer {
  void* data;
  int64_t count;
  int type;  // at::ScalarType of emulated_torch.h
  operator at::Tensor() const { return {data, count, static_cast<at::ScalarType>(type)}; }
};

struct Call {
  Buffer x, weight, bias, eps, tau, residual, z, stats;
  Buffer dz, dx, dweight, dbias, deps, dtau, dresidual;
  double eps_value;
  int64_t n, c, hw, groups;  // groups of the group norm; 0: FRN
  int channels_last, centered, relu;
};

// What the arguments of both ops have.
template <typename Args>
Args common(const Call& call) {
  Args args;
  args.x = call.x;
  args.weight = call.weight;
  args.bias = call.bias;
  args.tau = call.tau;
  args.residual = call.residual;
  args.n = call.n;
  args.c = call.c;
  args.hw = call.hw;
  args.channels_last = call.channels_last != 0;
  return args;
}

void run_frn(const Call& call, bool backward) {
  auto args = common<mmdet_frn::FrnArgs>(call);
  args.eps = call.eps;
  args.eps_value = call.eps_value;
  if (!backward) return mmdet_frn::frn_forward_cuda(args, call.z, call.stats);
  mmdet_frn::frn_backward_cuda(
      args, call.dz, call.stats,
      {call.dx, call.dweight, call.dbias, call.deps, call.dtau, call.dresidual});
}

void run_group_norm(const Call& call, bool backward) {
  auto args = common<mmdet_frn::GroupArgs>(call);
  args.eps = call.eps_value;
  args.group = call.c / call.groups;
  args.centered = call.centered != 0;
  args.relu = call.relu != 0;
  if (!backward) return mmdet_frn::group_norm_forward_cuda(args, call.z, call.stats);
  mmdet_frn::group_norm_backward_cuda(
      args, call.dz, call.stats, {call.dx, call.dweight, call.dbias, call.dtau, call.dresidual});
}

}  // namespace

// Returns what the launchers throw, or an empty text.
extern "C" const char* emulation_call(const Call* call, int backward) {
  static std::string message;
  message.clear();
  try {
    (call->groups == 0 ? run_frn : run_group_norm)(*call, backward != 0);
  } catch (const std::exception& error) {
    message = error.what();
  }
  return message.c_str();
}
