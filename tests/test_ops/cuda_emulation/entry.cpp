// The op's two launchers behind a C interface, for emulator.py.
#include "frn.h"

namespace {

struct Buffer {
  void* data;
  int64_t count;
  int type;  // at::ScalarType of emulated_torch.h
  operator at::Tensor() const { return {data, count, static_cast<at::ScalarType>(type)}; }
};

struct Call {
  Buffer x, weight, bias, eps, tau, residual, z, rstd;
  Buffer dz, dx, dweight, dbias, deps, dtau, dresidual;
  double eps_value;
  int64_t n, c, hw;
  int channels_last;
};

}  // namespace

// Returns what the launchers throw, or an empty text.
extern "C" const char* emulation_call(const Call* call, int backward) {
  static std::string message;
  mmdet_frn::FrnArgs args;
  args.x = call->x;
  args.weight = call->weight;
  args.bias = call->bias;
  args.eps = call->eps;
  args.eps_value = call->eps_value;
  args.tau = call->tau;
  args.residual = call->residual;
  args.n = call->n;
  args.c = call->c;
  args.hw = call->hw;
  args.channels_last = call->channels_last != 0;
  message.clear();
  try {
    if (backward) {
      mmdet_frn::frn_backward_cuda(
          args, call->dz, call->rstd,
          {call->dx, call->dweight, call->dbias, call->deps, call->dtau, call->dresidual});
    } else {
      mmdet_frn::frn_forward_cuda(args, call->z, call->rstd);
    }
  } catch (const std::exception& error) {
    message = error.what();
  }
  return message.c_str();
}
