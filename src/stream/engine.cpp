#include "stream/engine.h"

#include "base/log.h"
#include "stream/core.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace ziwa::stream {
namespace {

using SteadyClock = std::chrono::steady_clock;
constexpr auto kReopenDelay = std::chrono::seconds(1);
/// Steps that fail at one place before its readers fail; openings before who cannot be read is left
/// out.
constexpr int kPatience = 5;
constexpr auto kRetryCommitDelay = std::chrono::seconds(2);
constexpr auto kRetryWriteDelay = std::chrono::milliseconds(500);

bool lacks_room(const Error& error) { return error.cause() == Cause::disk_full; }

/// One thread steps, a second one writes checkpoints. Everybody else asks the first, by commands.
class ThreadedEngine final : public Engine {
 public:
  ThreadedEngine(Dependencies dependencies, Options options, std::unique_ptr<Core> core)
      : deps_(std::move(dependencies)), options_(options), core_(std::move(core)) {
    published_ = core_->published();
    attach();
  }
  ~ThreadedEngine() override { stop_threads(); }

  Status start() override {
    TRY(core_->announce_tables());
    listener_ = deps_.journal.listen([this](const std::vector<journal::Entry>&) { wake(); });
    std::lock_guard lock(mutex_);
    started_ = true;
    last_checkpoint_ = SteadyClock::now();
    stepper_ = std::thread([this] { step_loop(); });
    writer_ = std::thread([this] { write_loop(); });
    return {};
  }

  PublishedPtr published() const override {
    std::lock_guard lock(mutex_);
    return published_;
  }

  Status wait(Epoch epoch, int64_t timeout_ms) override {
    std::unique_lock lock(mutex_);
    if (published_->epoch >= epoch) return {};
    ++waiters_;
    wake_locked();
    bool reached = published_changed_.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] {
      return published_->epoch >= epoch || stopping_ || without_room_;
    });
    --waiters_;
    if (published_->epoch >= epoch) return {};
    if (without_room_) {
      return no_room(fmt::format("epoch {} is not reached", epoch), failed_ ? failure_ : refusal_);
    }
    if (!reached) {
      return Error(Code::unavailable, "epoch {} was not reached within {} ms; it is {}", epoch,
                   timeout_ms, published_->epoch);
    }
    return Error(Code::unavailable, "the stream engine is stopping");
  }

  Status validate(const Plan& plan, const catalog::Snapshot& catalog) const override {
    return ask([&](Core& core) { return core.validate(plan, catalog); });
  }

  Status validate_sink(const catalog::Object& sink,
                       const catalog::Snapshot& catalog) const override {
    return ask([&](Core& core) { return core.validate_sink(sink, catalog); });
  }

  Status on_catalog_change(const std::vector<catalog::Change>& changes,
                           EntryNumber entry) override {
    std::vector<ObjectId> made;
    // A new topic has no readers yet: it need not wait for a checkpoint, nor for room for one.
    auto new_topic = [](const catalog::Change& change) {
      return change.before == nullptr && change.after->kind() == catalog::Kind::topic;
    };
    const auto when = std::ranges::all_of(changes, new_topic) ? When::whole : When::saved;
    Status changed = submit(when, [&](Core& core) -> Status {
      if (when == When::whole) {
        core.publish();
        return {};
      }
      made = TRY(core.change(changes));
      note_backfills(core, made);
      return {};
    });
    // The state is opened again with what the catalog says then.
    if (failed_) return {};
    if (!changed) return changed;
    auto deadline = SteadyClock::now() + std::chrono::milliseconds(options_.create_wait_ms);
    std::unique_lock lock(mutex_);
    ++waiters_;
    wake_locked();
    published_changed_.wait_until(lock, deadline, [&] {
      bool pending = false;
      for (ObjectId id : made) pending = pending || backfilling_.contains(id);
      return stopping_ || without_room_ || (!pending && published_->epoch >= entry);
    });
    --waiters_;
    return {};
  }

  Status room_to_change() const override {
    std::lock_guard lock(mutex_);
    if (!failed_ && refusal_.empty()) return {};
    if (failed_ && !without_room_) return {};
    return no_room("views cannot change", failed_ ? failure_ : refusal_);
  }
  Status room_to_write() const override {
    std::lock_guard lock(mutex_);
    if (!without_room_) return {};
    return no_room("views stand still, so nobody could read it", failed_ ? failure_ : refusal_);
  }

  Result<std::vector<OperatorReport>> explain(const Plan& plan,
                                              const catalog::Snapshot& catalog) const override {
    std::vector<OperatorReport> reports;
    TRY(ask([&](Core& core) -> Status {
      reports = TRY(core.explain(plan, catalog));
      return {};
    }));
    return reports;
  }
  std::vector<OperatorReport> operators(ObjectId view) const override {
    std::vector<OperatorReport> reports;
    ask([&](Core& core) {
      reports = core.operators(view);
      return Status();
    }).ignore("a stopped engine has no operators");
    return reports;
  }
  std::vector<Wait> waits() const override {
    std::vector<Wait> waits;
    ask([&](Core& core) {
      waits = core.waits();
      return Status();
    }).ignore("in a stopped engine nobody waits");
    return waits;
  }
  std::vector<ViewStatus> view_status() const override {
    std::vector<ViewStatus> status;
    ask([&](Core& core) {
      status = core.view_status();
      return Status();
    }).ignore("a stopped engine has no status");
    add_trouble(status);
    return status;
  }
  std::vector<SinkStatus> sink_status() const override {
    std::vector<SinkStatus> status;
    ask([&](Core& core) {
      status = core.sink_status();
      return Status();
    }).ignore("a stopped engine has no status");
    add_trouble(status);
    return status;
  }

  std::shared_ptr<data::Scan> late_rows(ObjectId view) const override {
    auto now = published();
    auto at = now->late_rows.find(view);
    return at == now->late_rows.end() ? nullptr : at->second->scan();
  }
  std::shared_ptr<data::Scan> dead_letters() const override {
    std::shared_ptr<data::Scan> scan;
    ask([&](Core& core) {
      scan = core.dead_letters();
      return Status();
    }).ignore("a stopped engine has no dead letters");
    return scan;
  }

  Status checkpoint() override {
    std::unique_lock lock(mutex_);
    if (!started_ || stopping_) return Error(Code::unavailable, "the stream engine is not running");
    uint64_t wanted = ++checkpoints_wanted_;
    wake_locked();
    published_changed_.wait(lock, [&] {
      return checkpoints_done_ >= wanted || checkpoints_refused_ >= wanted || stopping_ || failed_;
    });
    if (checkpoints_done_ >= wanted) return {};
    const std::string what = "a checkpoint cannot be written";
    if (checkpoints_refused_ >= wanted) return no_room(what, refusal_);
    if (failed_ && without_room_) return no_room(what, failure_);
    if (failed_) return Error(Code::unavailable, "a checkpoint cannot be written: {}", failure_);
    return Error(Code::unavailable, "the stream engine is stopping");
  }

  Status flush_sinks(Epoch epoch, int64_t timeout_ms) override {
    auto deadline = SteadyClock::now() + std::chrono::milliseconds(timeout_ms);
    TRY(wait(epoch, timeout_ms));
    while (true) {
      bool held = false;
      TRY(ask([&](Core& core) {
        held = core.sinks_hold(epoch);
        return Status();
      }));
      if (held) return {};
      if (SteadyClock::now() >= deadline) {
        return Error(Code::unavailable, "the sinks do not hold epoch {} after {} ms", epoch,
                     timeout_ms)
            .with_hint("see ziwa.sinks for what they wait for");
      }
      TRY(checkpoint());
      std::unique_lock lock(mutex_);
      published_changed_.wait_for(lock, std::chrono::milliseconds(5));
    }
  }

  Result<std::map<ObjectId, lake::Needs>> table_needs() const override {
    std::map<ObjectId, lake::Needs> needs;
    TRY(ask([&](Core& core) {
      needs = core.table_needs();
      return Status();
    }));
    return needs;
  }

  Status stop() override {
    stop_threads();
    return {};
  }

 private:
  /// When a command may run: at any time, not on what a failed step left, and then not while a
  /// checkpoint is written either.
  enum class When : uint8_t { any, whole, saved };
  struct Command {
    std::function<Status(Core&)> run;
    When when = When::any;
    bool done = false;
    Status outcome;
  };

  static Error no_room(std::string_view what, std::string_view why) {
    return Error(Code::exhausted, "{}: {}", what, why)
        .because(Cause::disk_full)
        .with_hint("free some space; it goes on by itself");
  }

  void attach() {
    core_->set_on_publish([this](PublishedPtr published) {
      std::lock_guard lock(mutex_);
      // After reopening it does what was done before: for readers an epoch never goes back.
      if (published->epoch < published_->epoch) return;
      published_ = std::move(published);
      published_changed_.notify_all();
    });
  }

  void wake() {
    std::lock_guard lock(mutex_);
    wake_locked();
  }
  bool checkpoint_asked() const {
    return checkpoints_wanted_ > std::max(checkpoints_done_, checkpoints_refused_);
  }
  void wake_locked() {
    woken_ = true;
    wake_.notify_one();
  }

  Status ask(std::function<Status(Core&)> body) const {
    return const_cast<ThreadedEngine*>(this)->submit(When::any, std::move(body));
  }

  Status submit(When when, std::function<Status(Core&)> body) {
    auto command = std::make_shared<Command>();
    command->run = std::move(body);
    command->when = when;
    std::unique_lock lock(mutex_);
    if (!started_) return command->run(*core_);
    if (stopping_) return Error(Code::unavailable, "the stream engine is stopping");
    commands_.push_back(command);
    wake_locked();
    commands_changed_.wait(lock, [&] { return command->done || stopped_; });
    if (!command->done) return Error(Code::unavailable, "the stream engine is stopping");
    return std::move(command->outcome);
  }

  /// What holds up all views and sinks is the error of each that has none of its own.
  template <typename S>
  void add_trouble(std::vector<S>& list) const {
    std::lock_guard lock(mutex_);
    const std::string& trouble = failed_ ? failure_ : refusal_;
    for (S& status : list) {
      if (status.error.empty()) status.error = trouble;
    }
  }

  void note_backfills(Core& core, const std::vector<ObjectId>& made) {
    std::lock_guard lock(mutex_);
    for (ObjectId id : made) {
      if (core.still_backfilling({id})) backfilling_.insert(id);
    }
  }
  void refresh_backfills() {
    std::lock_guard lock(mutex_);
    if (backfilling_.empty()) return;
    std::erase_if(backfilling_, [&](ObjectId id) { return !core_->still_backfilling({id}); });
    published_changed_.notify_all();
  }

  void run_commands() {
    while (true) {
      std::shared_ptr<Command> command;
      {
        std::lock_guard lock(mutex_);
        if (commands_.empty()) return;
        command = commands_.front();
        commands_.pop_front();
      }
      const bool saved = command->when == When::saved;
      if (saved && !failed_) finish_checkpoint(true);
      // What changes the views cannot wait until there is room.
      if (saved && unwritten_ && !failed_) fail(checkpoint_->outcome.error());
      // What a failed step left can still be looked at, but not changed.
      Status outcome = command->when != When::any && failed_
                           ? unavailable()
                           : duck::guarded_result([&] { return command->run(*core_); });
      std::lock_guard lock(mutex_);
      command->outcome = std::move(outcome);
      command->done = true;
      commands_changed_.notify_all();
    }
  }

  /// Ends a checkpoint that was written; waits for it if asked. Without room it stays as it is.
  void finish_checkpoint(bool wait) {
    if (unwritten_ && wait) write_again();
    if (checkpoint_ == nullptr || unwritten_) return;
    {
      std::unique_lock lock(mutex_);
      if (wait) write_changed_.wait(lock, [&] { return written_; });
      if (!written_) return;
      written_ = false;
    }
    if (checkpoint_->found_no_room) {
      unwritten_ = true;
      return refuse_checkpoint(checkpoint_->outcome.error());
    }
    uint64_t answers = checkpoint_answers_;
    // Checkpoints take a tenth of the time at most: large ones are also cheaper per row.
    auto took = SteadyClock::now() - last_checkpoint_;
    checkpoint_interval_ = std::clamp<SteadyClock::duration>(
        10 * took, std::chrono::milliseconds(options_.checkpoint_interval_ms),
        std::chrono::milliseconds(
            std::max(options_.checkpoint_interval_ms, options_.checkpoint_interval_max_ms)));
    Status ended = duck::guarded_result([&] { return core_->end_checkpoint(*checkpoint_); });
    checkpoint_.reset();
    if (!ended) return fail(ended.error());
    std::lock_guard lock(mutex_);
    checkpoints_done_ = std::max(checkpoints_done_, answers);
    forget_refusal_locked();
    published_changed_.notify_all();
  }

  /// What it holds is nowhere else: it is kept until it is written or the state is opened again.
  void write_again() {
    auto room = duck::guarded_result([&] { return deps_.store.recover(); });
    if (!room && lacks_room(room.error())) return refuse_checkpoint(room.error());
    if (!room) return fail(room.error());
    unwritten_ = false;
    hand_to_writer();
  }

  void start_checkpoint(bool forced) {
    uint64_t answers = 0;
    {
      std::lock_guard lock(mutex_);
      answers = checkpoints_wanted_;
    }
    if (forced) {
      if (auto finished = duck::guarded_result([&] { return core_->finish_sinks(true); });
          !finished)
        return fail(finished.error());
    }
    auto begun = duck::guarded_result([&] { return core_->begin_checkpoint(); });
    if (!begun) return fail(begun.error());
    checkpoint_ = std::move(*begun);
    checkpoint_answers_ = answers;
    last_checkpoint_ = SteadyClock::now();
    hand_to_writer();
  }

  void hand_to_writer() {
    std::lock_guard lock(mutex_);
    to_write_ = checkpoint_.get();
    write_changed_.notify_all();
  }

  void fail(const Error& error) {
    log_error("stream", "the stream engine has stopped and will open its state again", "error={}",
              error.to_string());
    std::lock_guard lock(mutex_);
    failed_ = true;
    without_room_ = lacks_room(error);
    failure_ = error.to_string();
    published_changed_.notify_all();
  }

  /// An error that may pass: the same step is tried again some times.
  void fail_step(const Error& error) {
    Epoch at = core_->epoch();
    failed_steps_ = at > failed_epoch_ || failed_steps_ == 0 ? 1 : failed_steps_ + 1;
    failed_epoch_ = at;
    fail(error);
  }
  void forget_failed_step() {
    if (failed_steps_ == 0 || core_->epoch() <= failed_epoch_) return;
    failed_steps_ = 0;
    core_->set_patient(true);
  }

  Error unavailable() const {
    std::lock_guard lock(mutex_);
    return Error(Code::unavailable, "views stand still after a failure: {}", failure_);
  }

  /// After an error in the middle of a step only the last checkpoint is whole.
  void reopen() {
    auto due = SteadyClock::now() + kReopenDelay;
    while (SteadyClock::now() < due) {
      {
        std::unique_lock lock(mutex_);
        wake_.wait_until(lock, due, [&] { return stopping_ || !commands_.empty(); });
        if (stopping_) return;
      }
      run_commands();
    }
    finish_writing();
    auto reopened = duck::guarded_result([&]() -> Result<std::unique_ptr<Core>> {
      TRY(deps_.store.recover());
      auto opened = Core::open(deps_, options_, failed_opens_ + 1 < kPatience);
      failed_opens_ = opened ? 0 : failed_opens_ + 1;
      return opened;
    });
    if (!reopened) {
      std::lock_guard lock(mutex_);
      without_room_ = lacks_room(reopened.error());
      if (failure_ == reopened.error().to_string()) return;
      failure_ = reopened.error().to_string();
      log_error("stream", "the stream engine cannot open its state; it tries again", "error={}",
                failure_);
      return;
    }
    core_ = std::move(*reopened);
    core_->set_patient(failed_steps_ < kPatience);
    attach();
    std::lock_guard lock(mutex_);
    failed_ = false;
    without_room_ = false;
    failure_.clear();
  }

  void finish_writing() {
    std::unique_lock lock(mutex_);
    if (checkpoint_ != nullptr && !unwritten_) write_changed_.wait(lock, [&] { return written_; });
    written_ = false;
    unwritten_ = false;
    checkpoint_.reset();
  }

  void step_loop() {
    while (true) {
      {
        std::lock_guard lock(mutex_);
        if (stopping_) break;
        woken_ = false;
      }
      if (failed_) {
        reopen();
        continue;
      }
      auto begun = SteadyClock::now();
      finish_checkpoint(false);
      run_commands();
      if (failed_) continue;  // Nothing of a core that has failed may reach the disk.
      if (stands_without_room()) {
        maybe_checkpoint();
        rest_without_room();
        continue;
      }
      bool progress = false;
      auto stepped = duck::guarded_result([&] { return core_->step(options_.step_rows_max); });
      if (!stepped) {
        fail_step(stepped.error());
        continue;
      }
      progress = *stepped;
      forget_failed_step();
      // Without room a backfill could not put its rows away.
      auto moved = duck::guarded_result(
          [&] { return unwritten_ ? Result<bool>(false) : core_->advance_backfills(); });
      if (!moved) {
        fail(moved.error());
        continue;
      }
      core_->retry_broken();
      refresh_backfills();
      if (core_->watches_idleness()) core_->mark_idle();
      maybe_checkpoint();
      rest(begun, progress, *moved);
    }
    shut_down();
  }

  void maybe_checkpoint() {
    bool forced = false;
    {
      std::lock_guard lock(mutex_);
      forced = checkpoint_asked();
    }
    if (unwritten_ && (forced || SteadyClock::now() - last_checkpoint_ >= kRetryWriteDelay)) {
      write_again();
    }
    if (checkpoint_ != nullptr) return;
    if (Status room = deps_.store.room(); !room) return refuse_checkpoint(room.error());
    forget_refusal();
    auto since = SteadyClock::now() - last_checkpoint_;
    auto finished = duck::guarded_result([&] { return core_->finish_sinks(false); });
    if (!finished) return fail(finished.error());
    bool retry = core_->has_pending_files() && since >= kRetryCommitDelay;
    bool due = core_->dirty() && since >= checkpoint_interval_;
    if (forced || due || retry || *finished) start_checkpoint(forced);
  }

  void forget_refusal() {
    std::lock_guard lock(mutex_);
    forget_refusal_locked();
  }
  void forget_refusal_locked() {
    refusal_.clear();
    without_room_ = false;
  }

  /// What no checkpoint has is in memory, and that has a limit.
  bool stands_without_room() {
    std::lock_guard lock(mutex_);
    without_room_ = !refusal_.empty() && core_->unsaved_bytes() >= options_.unsaved_bytes_max;
    if (without_room_) published_changed_.notify_all();
    return without_room_;
  }

  void rest_without_room() {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, kRetryWriteDelay, [&] {
      const bool writing = checkpoint_ != nullptr && !unwritten_;
      return stopping_ || !without_room_ || !commands_.empty() || written_ ||
             (!writing && checkpoint_asked());
    });
  }

  /// Views go on in memory: see stands_without_room().
  void refuse_checkpoint(const Error& error) {
    last_checkpoint_ = SteadyClock::now();
    std::lock_guard lock(mutex_);
    if (refusal_.empty()) {
      log_warn("stream", "checkpoints wait for room on the disk", "error={}", error.to_string());
    }
    refusal_ = error.message();
    checkpoints_refused_ = checkpoints_wanted_;
    published_changed_.notify_all();
  }

  /// Sleeps until there is something to do: for ever when nothing can become due.
  void rest(SteadyClock::time_point begun, bool progress, bool backfilling) {
    std::unique_lock lock(mutex_);
    if (stopping_ || !commands_.empty()) return;
    auto now = SteadyClock::now();
    if (progress) {
      // Tiny steps pay for every group again and again: rest as long as the work took, unless there
      // is a backlog.
      auto rest =
          std::clamp<SteadyClock::duration>(now - begun, std::chrono::milliseconds(0),
                                            std::chrono::milliseconds(options_.step_rest_max_ms));
      if (core_->last_step_full()) rest = {};
      auto next =
          std::max(begun + std::chrono::milliseconds(options_.step_interval_ms), now + rest);
      if (waiters_ > 0 || backfilling || next <= now) return;
      wake_.wait_until(lock, next,
                       [&] { return stopping_ || waiters_ > 0 || !commands_.empty() || written_; });
      return;
    }
    if (backfilling) return;
    std::optional<SteadyClock::time_point> until;
    auto at_most = [&](SteadyClock::time_point time) {
      until = until ? std::min(*until, time) : time;
    };
    auto at_ns = [&](int64_t due) {
      auto in = std::chrono::nanoseconds(std::max<int64_t>(due - deps_.clock.monotonic_ns(), 0));
      at_most(now + std::max<SteadyClock::duration>(in, std::chrono::milliseconds(10)));
    };
    // What is due while a checkpoint is written waits for its end, which wakes this thread.
    const bool writing = checkpoint_ != nullptr;
    if (unwritten_) at_most(last_checkpoint_ + kRetryWriteDelay);
    if (!writing && core_->dirty()) at_most(last_checkpoint_ + checkpoint_interval_);
    if (!writing && core_->has_pending_files()) at_most(last_checkpoint_ + kRetryCommitDelay);
    if (auto due = core_->next_sink_due_ns(); due && !writing) at_ns(*due);
    if (auto due = core_->next_retry_ns()) at_ns(*due);
    if (core_->watches_idleness()) at_most(now + std::chrono::milliseconds(options_.idle_check_ms));
    auto ready = [&] {
      return stopping_ || woken_ || !commands_.empty() || written_ ||
             ((!writing || unwritten_) && checkpoint_asked());
    };
    if (until) {
      wake_.wait_until(lock, *until, ready);
    } else {
      wake_.wait(lock, ready);
    }
  }

  void write_loop() {
    while (true) {
      Checkpoint* checkpoint = nullptr;
      {
        std::unique_lock lock(mutex_);
        write_changed_.wait(lock, [&] { return to_write_ != nullptr || writer_stops_; });
        if (to_write_ == nullptr) return;
        checkpoint = std::exchange(to_write_, nullptr);
      }
      auto wrote = duck::guarded([&] { core_->write_checkpoint(*checkpoint); });
      if (!wrote) checkpoint->outcome = wrote.error();
      std::lock_guard lock(mutex_);
      written_ = true;
      write_changed_.notify_all();
      wake_locked();
    }
  }

  /// The end of the stepping thread: a last checkpoint spares the next start its work.
  void shut_down() {
    if (!failed_) {
      finish_checkpoint(true);
      if (!failed_ && !unwritten_ && core_->dirty()) {
        start_checkpoint(true);
        finish_checkpoint(true);
      }
    }
    std::lock_guard lock(mutex_);
    stopped_ = true;
    commands_changed_.notify_all();
    published_changed_.notify_all();
  }

  void stop_threads() {
    listener_.reset();
    {
      std::lock_guard lock(mutex_);
      if (!started_) return;
      stopping_ = true;
      wake_locked();
      published_changed_.notify_all();
    }
    if (stepper_.joinable()) stepper_.join();
    {
      std::lock_guard lock(mutex_);
      writer_stops_ = true;
      write_changed_.notify_all();
    }
    if (writer_.joinable()) writer_.join();
  }

  const Dependencies deps_;
  const Options options_;
  std::unique_ptr<Core> core_;  ///< The stepping thread's, once started.

  // The stepping thread's.
  std::unique_ptr<Checkpoint> checkpoint_;
  uint64_t checkpoint_answers_ = 0;
  bool unwritten_ = false;  ///< The checkpoint found no room: it waits to be written again.
  int failed_opens_ = 0;    ///< In a row.
  int failed_steps_ = 0;    ///< In a row, at one epoch.
  Epoch failed_epoch_;
  SteadyClock::time_point last_checkpoint_;
  SteadyClock::duration checkpoint_interval_ =
      std::chrono::milliseconds(options_.checkpoint_interval_ms);

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable published_changed_;
  std::condition_variable commands_changed_;
  std::condition_variable write_changed_;
  PublishedPtr published_;
  std::deque<std::shared_ptr<Command>> commands_;
  std::set<ObjectId> backfilling_;
  Checkpoint* to_write_ = nullptr;
  bool written_ = false;
  bool writer_stops_ = false;
  bool woken_ = false;
  bool started_ = false;
  bool stopping_ = false;
  bool stopped_ = false;
  std::atomic<bool> failed_ = false;
  bool without_room_ = false;  ///< It stands still until there is room.
  std::string failure_;
  int waiters_ = 0;
  uint64_t checkpoints_wanted_ = 0;
  uint64_t checkpoints_done_ = 0;
  uint64_t checkpoints_refused_ = 0;  ///< Not written, for want of room.
  std::string refusal_;

  std::shared_ptr<void> listener_;
  std::thread stepper_;
  std::thread writer_;
};

}  // namespace

Result<std::unique_ptr<Engine>> Engine::open(Dependencies dependencies, Options options) {
  for (int tries = 1;; ++tries) {
    auto core = Core::open(dependencies, options, tries < kPatience);
    if (core)
      return std::make_unique<ThreadedEngine>(std::move(dependencies), options, std::move(*core));
    if (tries == kPatience || !may_pass(core.error())) return std::move(core).error();
    log_warn("stream", "the state of the stream engine cannot be read yet; it is read again",
             "error={}", core.error().to_string());
    std::this_thread::sleep_for(kReopenDelay);
  }
}

}  // namespace ziwa::stream
