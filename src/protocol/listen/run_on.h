#pragma once

#include "base/thread_pool.h"
#include "duck/instance.h"

#include <boost/asio/associated_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <memory>
#include <type_traits>
#include <utility>

namespace ziwa::protocol {

/// Runs `work` on a thread of `pool` and resumes the coroutine on its own executor with the result.
/// Only `work` may block. Errors: exhausted when the pool's queue is full, cancelled when it has
/// stopped; `work` has not run then. `work` returns a Result or Status. What it refers to must live
/// until it has run: the coroutine's own frame does.
template <typename Work>
auto run_on(ThreadPool& pool, Work work) -> boost::asio::awaitable<std::invoke_result_t<Work>> {
  using Outcome = std::invoke_result_t<Work>;
  co_return co_await boost::asio::async_initiate<const boost::asio::use_awaitable_t<>&,
                                                 void(Outcome)>(
      [&pool](auto handler, Work job) {
        auto executor = boost::asio::get_associated_executor(handler);
        auto shared = std::make_shared<decltype(handler)>(std::move(handler));
        auto resume = [shared, executor](Outcome outcome) {
          boost::asio::post(executor, [shared, outcome = std::move(outcome)]() mutable {
            std::move (*shared)(std::move(outcome));
          });
        };
        Status queued = pool.submit([resume, job = std::move(job)]() mutable {
          // Whoever waits gets an answer even if something throws.
          resume(duck::guarded_result([&]() -> Outcome { return job(); }));
        });
        if (!queued) resume(queued.error());
      },
      boost::asio::use_awaitable, std::move(work));
}

}  // namespace ziwa::protocol
