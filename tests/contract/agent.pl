# Runs the real tools for the contract suite, on this machine or in a container: a process that outlives no test run.
#
# In: the directory ROOT as argument, and lines from the FIFO ROOT/requests: "start JOB" or "signal JOB NAME"; what to run is in
# ROOT/jobs/JOB/argv, its words separated by NUL, and beside it, if it needs them, its input in stdin and the path of its directory in
# cwd. Out: stdout, stderr, sent-NAME and status ("EXIT-CODE SIGNAL") beside it. When the last writer of the FIFO is gone, however it
# went, everything started here is killed, ROOT is emptied, and the agent ends.
use strict;
use warnings;
use POSIX ();

my ($root) = @ARGV;
my %running;    # process id => job
my %ended;      # process id => wait status, of a process that ended before its job was noted

# An interrupted test run ends the requests; nothing else ends the agent.
$SIG{$_} = 'IGNORE' for qw(INT TERM HUP QUIT);
$SIG{CHLD} = sub {
    while ((my $pid = waitpid(-1, POSIX::WNOHANG())) > 0) { $ended{$pid} = $? }
    report();
};

sub write_file {
    my ($path, $text) = @_;
    open(my $file, '>', "$path.new") or die "$path.new: $!\n";
    print $file $text;
    close($file) or die "$path.new: $!\n";
    rename("$path.new", $path) or die "$path: $!\n";
}

sub content {
    my ($path) = @_;
    open(my $file, '<', $path) or die "$path: $!\n";
    local $/;
    return <$file>;
}

sub report {
    for my $pid (grep { exists $running{$_} } keys %ended) {
        my ($job, $status) = (delete $running{$pid}, delete $ended{$pid});
        write_file("$root/jobs/$job/status", ($status >> 8) . ' ' . ($status & 127));
    }
}

sub start {
    my ($job) = @_;
    my $dir = "$root/jobs/$job";
    my @argv = split(/\0/, content("$dir/argv"));
    my $cwd = -e "$dir/cwd" ? content("$dir/cwd") : undef;
    my $pid = fork() // die "fork: $!\n";
    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP QUIT CHLD);
        setpgrp(0, 0);
        %ENV = (PATH => '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', TMPDIR => $root);
        if (defined $cwd && !chdir($cwd)) { POSIX::_exit(126) }
        open(STDIN, '<', -e "$dir/stdin" ? "$dir/stdin" : '/dev/null');
        open(STDOUT, '>', "$dir/stdout");
        open(STDERR, '>', "$dir/stderr");
        # A FIFO in its place is of one page: whoever writes more has to wait for its reader.
        fcntl(STDERR, 1031, 4096) if -p STDERR;    # F_SETPIPE_SZ
        exec { $argv[0] } @argv or print STDERR "$argv[0]: $!\n";
        POSIX::_exit(127);
    }
    $running{$pid} = $job;
    report();
}

open(my $requests, '<', "$root/requests") or die "$root/requests: $!\n";
write_file("$root/ready", '');
while (my $line = <$requests>) {
    my ($what, $job, $signal) = split(' ', $line);
    if ($what eq 'start') {
        start($job);
    } else {
        kill($signal, grep { $running{$_} eq $job } keys %running);
        write_file("$root/jobs/$job/sent-$signal", '');
    }
}
$SIG{CHLD} = 'DEFAULT';
for my $pid (keys %running) {
    kill('KILL', -$pid);
    waitpid($pid, 0);
}
for (1 .. 1000) {
    # What other agents still write below ROOT is removed with the next try. A mount point itself stays.
    system("rm -rf -- '$root'/* 2>/dev/null; rmdir -- '$root' 2>/dev/null");
    last if !glob("'$root'/*");
    select(undef, undef, undef, 0.02);
}
