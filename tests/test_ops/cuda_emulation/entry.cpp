// The launchers of the ops behind a C interface, for emulator.py.
#include "evonorm.h"
#include "frn.h"
#include "group_norm.h"
#include "pointwise.h"

namespace {

struct Buffer {
  void* data;
  int64_t count;
  int type;  // at::ScalarType of emulated_torch.h
  operator at::Tensor() const { return {data, count, static_cast<at::ScalarType>(type)}; }
};

struct Call {
  Buffer x, weight, bias, eps, tau, residual, kappa, alpha, v, z, stats;
  Buffer dz, dx, dweight, dbias, deps, dtau, dresidual, dkappa, dalpha, dv;
  double eps_value;
  int64_t n, c, hw, groups;
  int channels_last, centered, relu;
  int op;  // a place in kOps
};

// What the arguments of all ops have.
template <typename Args>
Args common(const Call& call) {
  Args args;
  args.x = call.x;
  args.n = call.n;
  args.c = call.c;
  args.hw = call.hw;
  args.channels_last = call.channels_last != 0;
  return args;
}

template <typename Args>
Args norm(const Call& call) {
  auto args = common<Args>(call);
  args.weight = call.weight;
  args.bias = call.bias;
  return args;
}

template <typename Args>
Args norm_and_act(const Call& call) {
  auto args = norm<Args>(call);
  args.tau = call.tau;
  args.residual = call.residual;
  return args;
}

void run_frn(const Call& call, bool backward) {
  auto args = norm_and_act<mmdet_frn::FrnArgs>(call);
  args.eps = call.eps;
  args.eps_value = call.eps_value;
  if (!backward) return mmdet_frn::frn_forward_cuda(args, call.z, call.stats);
  mmdet_frn::frn_backward_cuda(
      args, call.dz, call.stats,
      {call.dx, call.dweight, call.dbias, call.deps, call.dtau, call.dresidual});
}

void run_group_norm(const Call& call, bool backward) {
  auto args = norm_and_act<mmdet_frn::GroupArgs>(call);
  args.eps = call.eps_value;
  args.group = call.c / call.groups;
  args.centered = call.centered != 0;
  args.relu = call.relu != 0;
  if (!backward) return mmdet_frn::group_norm_forward_cuda(args, call.z, call.stats);
  mmdet_frn::group_norm_backward_cuda(
      args, call.dz, call.stats, {call.dx, call.dweight, call.dbias, call.dtau, call.dresidual});
}

void run_evonorm_s0(const Call& call, bool backward) {
  auto args = norm<mmdet_frn::EvoNormArgs>(call);
  args.v = call.v;
  args.eps = call.eps_value;
  args.group = call.c / call.groups;
  if (!backward) return mmdet_frn::evonorm_s0_forward_cuda(args, call.z, call.stats);
  mmdet_frn::evonorm_s0_backward_cuda(args, call.dz, call.stats,
                                      {call.dx, call.dweight, call.dbias, call.dv});
}

template <mmdet_frn::Function function>
void run_pointwise(const Call& call, bool backward) {
  auto args = common<mmdet_frn::PointwiseArgs>(call);
  args.function = function;
  std::vector<at::Tensor> grads;
  switch (function) {
    case mmdet_frn::Function::kTlu:
      args.params = {call.tau}, grads = {call.dtau};
      break;
    case mmdet_frn::Function::kAffineTlu:
      args.params = {call.kappa, call.tau}, grads = {call.dkappa, call.dtau};
      break;
    case mmdet_frn::Function::kDyt:
      args.params = {call.weight, call.bias, call.alpha};
      grads = {call.dweight, call.dbias, call.dalpha};
      break;
  }
  if (!backward) return mmdet_frn::pointwise_forward_cuda(args, call.z);
  mmdet_frn::pointwise_backward_cuda(args, call.dz, call.dx, grads);
}

// In the order of OPS in emulator.py.
void (*const kOps[])(const Call&, bool) = {run_frn,
                                           run_group_norm,
                                           run_evonorm_s0,
                                           run_pointwise<mmdet_frn::Function::kTlu>,
                                           run_pointwise<mmdet_frn::Function::kAffineTlu>,
                                           run_pointwise<mmdet_frn::Function::kDyt>};

}  // namespace

// Returns what the launchers throw, or an empty text.
extern "C" const char* emulation_call(const Call* call, int backward) {
  static std::string message;
  message.clear();
  try {
    kOps[call->op](*call, backward != 0);
  } catch (const std::exception& error) {
    message = error.what();
  }
  return message.c_str();
}
